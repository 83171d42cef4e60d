/* page: see page.h. Worker threads. */
#include "gateway/page.h"

#include "base/auto.h"

/* Contrast of text is at least 7:1 in both schemes, of the button 4.5:1. */
static const char page_style_text[] =
    ":root{color-scheme:light dark;--bg:#f6f5f3;--card:#fff;--fg:#1d1b19;--soft:#57534e;"
    "--line:#e3e0dc;--accent:#1d4ed8;--on:#fff;--bad:#a31616}"
    "@media(prefers-color-scheme:dark){:root{--bg:#141312;--card:#1e1c1a;--fg:#f2f0ed;"
    "--soft:#b5afa8;--line:#3a3632;--accent:#9db8ff;--on:#0c1a3f;--bad:#ffb4ab}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;"
    "background:var(--bg);color:var(--fg);font:1rem/1.55 system-ui,sans-serif}"
    "main{width:100%;max-width:30rem;background:var(--card);border:1px solid var(--line);"
    "border-radius:14px;padding:2rem;overflow:hidden}"
    "main>:last-child{margin-bottom:0}"
    ".status{margin:0 0 .25rem;color:var(--soft);font-size:.875rem;letter-spacing:.06em}"
    "h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;font-weight:650}"
    "p{margin:0 0 1rem;overflow-wrap:anywhere}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.25rem;margin:1.25rem 0 0;"
    "padding-top:1.25rem;border-top:1px solid var(--line)}"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}"
    "form{margin:1.25rem 0 0}"
    "label{display:block;margin-bottom:.35rem;font-weight:600}"
    "input,button{width:100%;font:inherit;padding:.65rem .8rem;border-radius:9px}"
    "input{background:var(--bg);color:var(--fg);border:1px solid var(--soft);margin-bottom:.9rem}"
    "button{background:var(--accent);color:var(--on);border:1px solid var(--accent);"
    "font-weight:600;cursor:pointer}"
    "a{color:var(--accent)}"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
    ".alert{color:var(--bad);font-weight:600}"
    ".busy{height:3px;margin:-2rem -2rem 1.75rem;background:var(--line)}"
    ".busy::after{content:\"\";display:block;height:100%;width:35%;background:var(--accent)}"
    "@media(prefers-reduced-motion:no-preference){.busy::after{animation:go 1.6s ease-in-out "
    "infinite alternate}@keyframes go{to{margin-left:65%}}}";

struct str page_style(void)
{
    return (struct str){page_style_text, sizeof page_style_text - 1};
}

static void write_head(struct text *out, const struct reply *r, struct str title)
{
    text_add(out, STR("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, "
                      "initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n"));
    if (r->refresh_s > 0) {
        text_printf(out, "<meta http-equiv=\"refresh\" content=\"%u\">\n", r->refresh_s);
    }
    text_add(out, STR("<title>"));
    text_add_html(out, title);
    text_add(out, STR("</title>\n<style>"));
    text_add(out, page_style());
    text_add(out, STR("</style>\n</head>\n<body>\n<main>\n"));
}

static void write_facts(struct text *out, const struct reply *r)
{
    bool open = false;
    for (uint32_t i = 0; i < r->fact_count; i++) {
        const struct reply_fact *fact = &r->facts[i];
        if (fact->label == NULL) {
            continue;
        }
        text_add(out, open ? STR("") : STR("<dl>\n"));
        open = true;
        text_add(out, STR("<dt>"));
        text_add_html(out, str_of(fact->label));
        text_add(out, STR("</dt><dd>"));
        text_add_html(out, fact->value);
        text_add(out, STR("</dd>\n"));
    }
    text_add(out, open ? STR("</dl>\n") : STR(""));
}

static void write_login(struct text *out, const struct reply *r)
{
    text_add(out, STR("<form method=\"post\" action=\"" REPLY_LOGIN_PATH "\">\n"));
    if (r->alert != NULL) {
        text_add(out, STR("<p class=\"alert\" id=\"alert\" role=\"alert\">"));
        text_add_html(out, str_of(r->alert));
        text_add(out, STR("</p>\n"));
    }
    text_add(out, STR("<input type=\"hidden\" name=\"next\" value=\""));
    text_add_html(out, r->next);
    text_add(out, STR("\">\n<label for=\"secret\">Secret</label>\n"
                      "<input id=\"secret\" name=\"secret\" type=\"password\" required autofocus "
                      "maxlength=\"1024\" autocomplete=\"current-password\" "
                      "autocapitalize=\"none\" spellcheck=\"false\""));
    if (r->alert != NULL) {
        text_add(out, STR(" aria-invalid=\"true\" aria-describedby=\"alert\""));
    }
    text_add(out, STR(">\n<button>Continue</button>\n</form>\n"));
}

void page_write(struct text *out, const struct reply *r)
{
    const char *phrase = status_phrase(r->status);
    struct str title = str_of(r->title != NULL ? r->title : phrase);
    write_head(out, r, title);
    if (r->refresh_s > 0) {
        text_add(out, STR("<div class=\"busy\" aria-hidden=\"true\"></div>\n"));
    }
    text_printf(out, "<p class=\"status\">%u", r->status);
    if (!str_eq(title, str_of(phrase))) {
        text_printf(out, " %s", phrase);
    }
    text_add(out, STR("</p>\n<h1>"));
    text_add_html(out, title);
    text_add(out, STR("</h1>\n<p>"));
    text_add_html(out, str_of(r->message != NULL ? r->message : r->text));
    text_add(out, STR("</p>\n"));
    switch (r->form) {
    case REPLY_FORM_NONE:
        break;
    case REPLY_FORM_LOGIN:
        write_login(out, r);
        break;
    case REPLY_FORM_LOGOUT:
        text_add(out, STR("<form method=\"post\" action=\"" REPLY_LOGOUT_PATH
                          "\">\n<button>Sign out</button>\n</form>\n"));
        break;
    }
    write_facts(out, r);
    text_add(out, STR("</main>\n</body>\n</html>\n"));
}

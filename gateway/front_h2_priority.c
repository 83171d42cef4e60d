/* front_h2_priority: whose answer goes first (RFC 9218). The client says so in
 * the `priority` field or in PRIORITY_UPDATE, the service may know better.
 * nghttp2 schedules by it. Called by front_h2_stream, in the worker's thread. */
#include "base/auto.h"
#include "gateway/front_h2_stream.h"

static void schedule(struct h2_stream *s, bool final)
{
    nghttp2_extpri pri = {s->priority.urgency, s->priority.incremental};
    /* The stream may be closing. */
    (void)nghttp2_session_change_extpri_stream_priority(h2_memory_session(&s->front->memory), s->id,
                                                        &pri, final);
}

/* The client's present wish, which replaces an earlier one (RFC 9218 7). */
static void set_priority(struct h2_stream *s, struct str value)
{
    struct priority wish = {PRIORITY_URGENCY_DEFAULT, false};
    if (priority_parse(value, &wish)) {
        s->priority = wish;
    }
}

static struct h2_early *early_of(struct front_h2 *f, int32_t id)
{
    for (size_t i = 0; f->early != NULL && i < H2_EARLY_MAX; i++) {
        if (f->early[i].id == id) {
            return &f->early[i];
        }
    }
    return NULL;
}

void h2_priority_update(struct front_h2 *f, const nghttp2_ext_priority_update *update)
{
    struct str value = {(const char *)update->field_value, update->field_value_len};
    struct h2_stream *s =
        nghttp2_session_get_stream_user_data(h2_memory_session(&f->memory), update->stream_id);
    if (s != NULL) {
        set_priority(s, value);
    } else if (update->stream_id > f->last_id && value.len <= H2_EARLY_VALUE) {
        struct h2_early *early = early_of(f, update->stream_id);
        if (f->early == NULL) {
            f->early = try_zalloc(H2_EARLY_MAX * sizeof *f->early);
        }
        if (f->early == NULL) {
            return; /* only a wish */
        }
        if (early == NULL) {
            early = &f->early[f->early_at];
            f->early_at = (uint8_t)((f->early_at + 1) % H2_EARLY_MAX);
        }
        *early = (struct h2_early){.id = update->stream_id, .len = (uint8_t)value.len};
        if (value.len > 0) {
            memcpy(early->value, value.ptr, value.len);
        }
    }
}

void h2_priority_start(struct h2_stream *s)
{
    struct exchange *x = s->x;
    struct head *h = &x->request;
    struct head_field *field = (struct head_field *)(uintptr_t)head_find(h, STR("priority"));
    struct h2_early *early = early_of(s->front, s->id);
    if (early != NULL) {
        struct str value = arena_try_str(&x->arena, (struct str){early->value, early->len});
        early->id = 0;
        if (!head_value_is_legal(value)) {
            return;
        }
        if (field != NULL) {
            field->value = value;
        } else {
            (void)head_add(h, &x->arena, STR("priority"), value, UINT32_MAX);
        }
        set_priority(s, value);
        schedule(s, false);
    } else if (field != NULL) {
        set_priority(s, field->value);
    }
}

void h2_priority_answer(struct h2_stream *s, const struct head *response)
{
    const struct head_field *field = head_find(response, STR("priority"));
    if (field != NULL && priority_parse(field->value, &s->priority)) {
        schedule(s, true);
    }
}

/* endpoints_stats: the numbers of daemon and gateway, as JSON and as Prometheus text. */
#include "base/auto.h"
#include "daemon/api/api.h"
#include "daemon/api/request.h"
#include "daemon/daemon.h"
#include "daemon/metrics.h"
#include "daemon/stats.h"
#include "daemon/supervisor.h"

static void stats_on_answer(void *arg, const cJSON *gateway)
{
    struct api_request *r = arg;
    reply_json(r, HTTP_STATUS_OK, stats_json(r->d, gateway));
}

static void metrics_on_answer(void *arg, const cJSON *gateway)
{
    struct api_request *r = arg;
    struct buf text = {0};
    cJSON *stats = stats_json(r->d, gateway);
    metrics_render(stats, &text);
    cJSON_Delete(stats);
    reply_text(r, HTTP_STATUS_OK, METRICS_TYPE, buf_str(&text));
    buf_fini(&text);
}

static void stats_cancel(struct api_request *r)
{
    supervisor_forget_stats(r->d->supervisor, r);
}

static void handle_stats(struct api_request *r)
{
    r->cancel = stats_cancel;
    supervisor_ask_stats(r->d->supervisor, stats_on_answer, r);
}

static void handle_metrics(struct api_request *r)
{
    r->cancel = stats_cancel;
    supervisor_ask_stats(r->d->supervisor, metrics_on_answer, r);
}

const struct api_endpoint api_stats_endpoints[] = {
    {API_GET, "/stats", API_LOGGED_IN, handle_stats},
    {API_GET, "/metrics", API_LOCAL, handle_metrics},
    {0, NULL, API_LOCAL, NULL},
};

/* route: the words for a route's class, state and backend. Pure functions, any thread;
 * used by the daemon's status and the gateway's state pages.
 */
#include "routing/route.h"

const char *route_class_name(enum route_class route_class)
{
    switch (route_class) {
    case ROUTE_SERVICE:
        return "service";
    case ROUTE_WEB_UI:
        return "web-ui";
    case ROUTE_PUBLISHED:
        return "published";
    }
    return "unknown";
}

const char *route_state_name(enum route_state state)
{
    switch (state) {
    case ROUTE_LIVE:
        return "live";
    case ROUTE_STARTING:
        return "starting";
    case ROUTE_FAILING:
        return "failing";
    case ROUTE_STOPPED:
        return "stopped";
    }
    return "unknown";
}

const char *route_backend_name(enum route_backend backend)
{
    switch (backend) {
    case BACKEND_HTTP:
        return "http";
    case BACKEND_HTTPS:
        return "https";
    case BACKEND_HTTPS_INSECURE:
        return "https-insecure";
    case BACKEND_H2C:
        return "h2c";
    }
    return "unknown";
}

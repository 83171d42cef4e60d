/* route: the words for a route's class and state. Pure functions, any thread;
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

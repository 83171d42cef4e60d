/* link_protocol: what the daemon and the gateway say to each other.
 *
 * The gateway is started by the daemon as `wos gateway` with descriptor 3 a
 * listening Unix stream socket bound at H/gateway.sock, and outlives it. A
 * daemon connects there; the gateway checks the peer's uid, takes the newest
 * connection as its daemon (an older one is closed) and speaks first:
 *
 *   gateway → daemon   HELLO     {protocol, build, pid, generation, workers, sandbox}
 *                      LISTENERS {worker, addresses[]} + one fd per address,
 *                                one frame per worker; none before SETUP came once
 *                      READY     {}
 *   daemon → gateway   SETUP     {workers}, once per gateway process, then
 *                      LISTENERS {worker, addresses[]} + fds, one per worker,
 *                      then SNAPSHOT (routing/snapshot.h bytes), any number: in the frame, or
 *                      an empty frame + one fd of a file in memory (base/memfile.h) that has
 *                      them: the socket takes a large one in parts only, each a change of
 *                      processes; more LISTENERS at any time
 *   gateway → daemon   ACK {generation} once every worker serves it,
 *                      or NACK {generation, error}: the old one stays
 *   daemon → gateway   STATS {routes} → gateway → daemon STATS {…}
 *   daemon → gateway   DRAIN {limit_ms}: stop accepting, finish what runs
 *                      (h1 Connection: close, h2 GOAWAY), exit when done or at the limit
 *                      SHUTDOWN {}: exit now
 *
 *   gateway → daemon   EVENT {"event": "login" | "seen" | "logout" | "denied", …}: something people
 *                      shall hear of, or, "logout", a login to revoke; members in gateway/notice.h
 *   daemon → gateway   ACCESS_LOG {} + one fd, opened for appending: where access lines go from
 *                      now on; without a descriptor: nowhere
 *
 * An address is text for people, "0.0.0.0:5858"; one that begins with LINK_REDIRECT is of the
 * plain HTTP port that only sends people to https (gateway/redirect.h).
 *
 * All payloads but SNAPSHOT are JSON objects. Frames are base/frame.h's, at
 * most LINK_FRAME_MAX bytes. A daemon that finds a gateway of another `build`
 * keeps the descriptors, starts a new gateway on them and drains the old one;
 * one of the same build and listeners is kept as it is. Workers start accepting with the first
 * snapshot.
 */
#ifndef WOS_GATEWAY_LINK_PROTOCOL_H
#define WOS_GATEWAY_LINK_PROTOCOL_H

enum {
    LINK_WORKERS_MAX = 64, /* a gateway has no more */
    LINK_PROTOCOL = 4,
    LINK_FRAME_MAX = 512 << 20, /* also of a snapshot in a file */
    LINK_FD = 3,
    LINK_SNAPSHOT_FILE_MIN = 64 * 1024, /* a smaller snapshot travels in its frame */
};

#define LINK_REDIRECT "redirect "

enum link_type {
    LINK_HELLO = 1,
    LINK_LISTENERS = 2,
    LINK_READY = 3,
    LINK_SETUP = 4,
    LINK_SNAPSHOT = 5,
    LINK_ACK = 6,
    LINK_NACK = 7,
    LINK_STATS = 8,
    LINK_DRAIN = 9,
    LINK_SHUTDOWN = 10,
    LINK_EVENT = 11,
    LINK_ACCESS_LOG = 12,
};

/* Runs the gateway process on LINK_FD until told to end; the exit code. */
int gateway_main(void);

#endif

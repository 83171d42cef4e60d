/* sockdiag: see sockdiag.h. Called by the daemon for connections of its web listener. */
#include "base/sockdiag.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <string.h>

#include "base/auto.h"

enum { ANSWER_MAX = 4096 };

/* False for an address of neither family. `out_address` has room for an IPv6 one. */
static bool put_address(const struct sockaddr *from, void *out_address, uint16_t *out_port)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
    if (from->sa_family == AF_INET) {
        memcpy(out_address, &v4->sin_addr, sizeof v4->sin_addr);
        *out_port = v4->sin_port;
    } else if (from->sa_family == AF_INET6) {
        memcpy(out_address, &v6->sin6_addr, sizeof v6->sin6_addr);
        *out_port = v6->sin6_port;
    } else {
        return false;
    }
    return true;
}

/* Without an exact match the kernel offers a listener at `local`: the state tells. Nor does it say
 * whose a socket is that nobody holds any more: it has no inode then. One is held after
 * shutdown(SHUT_WR), too. */
static bool answer_read(const struct nlmsghdr *head, size_t len, struct sockdiag *out_found)
{
    if (!NLMSG_OK(head, len) || head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        head->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
        return false;
    }
    const struct inet_diag_msg *found = NLMSG_DATA(head);
    if ((found->idiag_state != TCP_ESTABLISHED && found->idiag_state != TCP_FIN_WAIT1 &&
         found->idiag_state != TCP_FIN_WAIT2) ||
        found->idiag_inode == 0) {
        return false;
    }
    *out_found = (struct sockdiag){.uid = found->idiag_uid,
                                   .inode = found->idiag_inode,
                                   .is_closing = found->idiag_state == TCP_FIN_WAIT1};
    return true;
}

bool sockdiag_find(const struct sockaddr *local, const struct sockaddr *remote,
                   struct sockdiag *out_found)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 ask;
    } question = {
        .head = {.nlmsg_len = sizeof question,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
        .ask = {.sdiag_family = (uint8_t)local->sa_family,
                .sdiag_protocol = IPPROTO_TCP,
                .idiag_states = UINT32_MAX,
                .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
    };
    struct inet_diag_sockid *id = &question.ask.id;
    if (local->sa_family != remote->sa_family ||
        !put_address(local, id->idiag_src, &id->idiag_sport) ||
        !put_address(remote, id->idiag_dst, &id->idiag_dport)) {
        return false;
    }
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0 || sendto(fd, &question, sizeof question, 0,
                         (const struct sockaddr *)(const void *)&kernel, sizeof kernel) < 0) {
        return false;
    }
    /* The kernel has answered before sendto returns. */
    alignas(struct nlmsghdr) char answer[ANSWER_MAX];
    struct sockaddr_nl from = {0};
    socklen_t from_len = sizeof from;
    ssize_t len = recvfrom(fd, answer, sizeof answer, MSG_DONTWAIT,
                           (struct sockaddr *)(void *)&from, &from_len);
    return len > 0 && from.nl_pid == 0 &&
           answer_read((const struct nlmsghdr *)(const void *)answer, (size_t)len, out_found);
}

// The floor: what no proxy can cost less than. It receives and sends the same bytes and reads none
// of them. Edge-triggered epoll, one thread.
//
//   forwarder MODE LISTEN_PORT BACKEND_PORT     prints the port it listens on (0: a free one)
//
//   pairs      each client gets a backend connection of its own, for as long as it stays
//   requests   a client brings one request: it goes to a pooled backend connection, one receive is
//              the whole response, and the client is closed (small responses only)
//   once       as requests, with one accept for each time the listener is reported: no call that
//              finds nothing
//   splice     as pairs, but the bytes stay in the kernel: socket -> pipe -> socket

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, BUFFER_BYTES = 64 * 1024, PIPE_BYTES = 1024 * 1024, POOL_MAX = 4096 };

typedef struct conn {
    int fd;
    int is_backend;
    int registered;
    int ended;          // the peer's end was read
    struct conn *peer;  // where its bytes go; requests mode: none while it has no work
    char *left;         // pairs: what the peer did not take yet
    size_t left_start, left_end;
    int pipe[2];        // splice: what the peer did not take yet is in here
    size_t piped;
    struct conn *next_dead;
} conn;

static enum { PAIRS, REQUESTS, SPLICE } mode;
static int accepts_once;
static int epoll, listener;
static struct sockaddr_in backend_address;
static conn *pool[POOL_MAX];
static int pooled;
static conn *dead;  // freed after the batch of events that may still name them
static char buffer[BUFFER_BYTES];

static void die(const char *what) {
    fprintf(stderr, "forwarder: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(conn *c) {
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
    c->registered = 1;
}

static conn *new_conn(int fd, int is_backend) {
    conn *c = calloc(1, sizeof *c);
    if (!c) die("memory");
    c->fd = fd;
    c->is_backend = is_backend;
    c->pipe[0] = c->pipe[1] = -1;
    if (mode == SPLICE) {
        if (pipe2(c->pipe, O_NONBLOCK)) die("pipe");
        fcntl(c->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    }
    return c;
}

static conn *connect_backend(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&backend_address, sizeof backend_address) &&
        errno != EINPROGRESS)
        die("connect to the backend");
    conn *c = new_conn(fd, 1);
    watch(c);
    return c;
}

static void drop(conn *c) {
    if (c->fd < 0) return;
    close(c->fd);
    c->fd = -1;
    if (c->pipe[0] >= 0) close(c->pipe[0]), close(c->pipe[1]);
    free(c->left);
    c->left = NULL;
    c->next_dead = dead;
    dead = c;
}

static void drop_pair(conn *c) {
    if (c->peer) drop(c->peer);
    drop(c);
}

// What did not go out goes first; true once nothing is left.
static int flush_left(conn *c) {
    while (c->left_start < c->left_end) {
        ssize_t sent = send(c->peer->fd, c->left + c->left_start, c->left_end - c->left_start,
                            MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) drop_pair(c);
            return 0;
        }
        c->left_start += sent;
    }
    return 1;
}

static void keep_left(conn *c, const char *bytes, size_t count) {
    if (!c->left && !(c->left = malloc(BUFFER_BYTES))) die("memory");
    memcpy(c->left, bytes, count);
    c->left_start = 0;
    c->left_end = count;
}

static void copy_on(conn *c, int closing) {
    if (!flush_left(c)) return;
    for (;;) {
        ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) drop_pair(c);
            return;
        }
        ssize_t sent = send(c->peer->fd, buffer, got, MSG_NOSIGNAL);
        if (sent < got) {
            if (sent < 0 && errno != EAGAIN) {
                drop_pair(c);
                return;
            }
            sent = sent < 0 ? 0 : sent;
            keep_left(c, buffer + sent, got - sent);
            return;
        }
        // Less than there was room for: later bytes are a new edge.
        if ((size_t)got < sizeof buffer && !closing) return;
    }
}

static void splice_on(conn *c) {
    for (;;) {
        ssize_t got = 0;
        if (!c->ended && c->piped < PIPE_BYTES) {
            got = splice(c->fd, NULL, c->pipe[1], NULL, PIPE_BYTES - c->piped,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (got > 0) c->piped += got;
            if (got == 0) c->ended = 1;
            if (got < 0 && errno != EAGAIN) {
                drop_pair(c);
                return;
            }
        }
        if (c->piped == 0) {
            if (c->ended) drop_pair(c);
            return;
        }
        ssize_t sent = splice(c->pipe[0], NULL, c->peer->fd, NULL, c->piped,
                              SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (sent < 0) {
            if (errno != EAGAIN) drop_pair(c);
            return;
        }
        c->piped -= sent;
    }
}

static void pair_event(conn *c, unsigned events) {
    if (events & (EPOLLERR | EPOLLHUP)) {
        drop_pair(c);
        return;
    }
    conn *peer = c->peer;
    if (mode == SPLICE) {
        if (events & (EPOLLIN | EPOLLRDHUP)) splice_on(c);
        if ((events & EPOLLOUT) && c->fd >= 0 && peer->piped) splice_on(peer);
        return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP)) copy_on(c, events & EPOLLRDHUP);
    if ((events & EPOLLOUT) && c->fd >= 0 && peer->left_start < peer->left_end) copy_on(peer, 1);
}

// The request of a client that brought one; true if it had come.
static int request_on(conn *client) {
    ssize_t got = recv(client->fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) {
        drop(client);
        return 1;
    }
    conn *backend = pooled ? pool[--pooled] : connect_backend();
    backend->peer = client;
    client->peer = backend;
    if (send(backend->fd, buffer, got, MSG_NOSIGNAL) == got) return 1;
    if (errno != EAGAIN) die("send to the backend");
    keep_left(client, buffer, got);  // it is still connecting
    return 1;
}

static void request_event(conn *c, unsigned events) {
    if (!c->is_backend) {
        if (!c->peer) request_on(c);
        return;
    }
    if (c->peer && c->peer->left_start < c->peer->left_end) flush_left(c->peer);
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))) return;
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !c->peer) die("the backend closed a connection");
    send(c->peer->fd, buffer, got, MSG_NOSIGNAL);
    drop(c->peer);
    c->peer = NULL;
    if (pooled == POOL_MAX) drop(c);
    else pool[pooled++] = c;
}

static void accept_all(void) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            die("accept");
        }
        conn *client = new_conn(fd, 0);
        if (mode == REQUESTS) {
            if (!request_on(client)) watch(client);
            if (accepts_once) return;
            continue;
        }
        client->peer = connect_backend();
        client->peer->peer = client;
        watch(client);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // accepted sockets inherit it
    struct sockaddr_in at = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    socklen_t size = sizeof at;
    if (bind(fd, (struct sockaddr *)&at, size) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void stop(int signal) {
    (void)signal;
    exit(0);
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: forwarder pairs|requests|once|splice LISTEN_PORT BACKEND_PORT\n");
        return 2;
    }
    accepts_once = words[1][0] == 'o';
    mode = words[1][0] == 'r' || accepts_once ? REQUESTS : words[1][0] == 's' ? SPLICE : PAIRS;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    backend_address =
        (struct sockaddr_in){AF_INET, htons(atoi(words[3])), {htonl(INADDR_LOOPBACK)}, {0}};
    epoll = epoll_create1(0);
    listener = listen_on(atoi(words[2]));
    // Reported again as long as somebody waits, if only one is accepted.
    unsigned edge = accepts_once ? 0 : EPOLLET;
    struct epoll_event event = {EPOLLIN | edge, {.ptr = NULL}}, events[EVENTS_MAX];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            conn *c = events[i].data.ptr;
            if (!c) accept_all();
            else if (c->fd < 0) continue;
            else if (mode == REQUESTS) request_event(c, events[i].events);
            else pair_event(c, events[i].events);
        }
        while (dead) {
            conn *next = dead->next_dead;
            free(dead);
            dead = next;
        }
    }
}

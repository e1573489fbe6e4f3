// A backend cheaper than any proxy: responses made in advance, one thread, edge-triggered epoll.
//
//   backend HTTP_PORT RAW_PORT [HELD]     prints both ports (0: a free one)
//
//   HTTP   GET /N: a body of N bytes. PUT, POST: the body is discarded, then 128 bytes. GET /held:
//          the response waits for SIGUSR1; "held" is printed when HELD requests wait.
//   RAW    a message starts with its length (four bytes, this machine's order); when it has come
//          whole, a message of the same length goes back.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, HEAD_MAX = 16 * 1024, BODY_BYTES = 256 * 1024, CACHED_MAX = 64 * 1024 };

// What one connection sends before others get their turn.
enum { TURN_BYTES = 512 * 1024 };

typedef struct conn {
    int fd, is_raw, is_held;
    size_t head_bytes;   // of a head that is not complete
    char *head;
    size_t to_read;      // of the body or message that is coming
    size_t answer;       // size of the response once that has come
    size_t to_write;     // of the body that goes back
    int is_due;          // more can be written, in the next turn
    struct conn *next_held, *next_due;
} conn;

static int epoll;
static char buffer[256 * 1024], body[BODY_BYTES];
static conn *held, *due;
static size_t held_count, held_told;
static volatile sig_atomic_t released;

// Responses by size, head and body in one piece.
static struct { size_t size, bytes; char *text; } cache[16];

static void die(const char *what) {
    fprintf(stderr, "backend: %s: %s\n", what, strerror(errno));
    exit(1);
}

static size_t write_head(char *into, size_t size) {
    return sprintf(into,
                   "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Tue, 01 Jul 2025 12:00:00 GMT\r\n"
                   "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
                   size);
}

static int drop(conn *c) {
    for (conn **at = &due; c->is_due && *at; at = &(*at)->next_due)
        if (*at == c) {
            *at = c->next_due;
            break;
        }
    close(c->fd);
    free(c->head);
    if (c->is_held) c->fd = -1;  // `release` frees it
    else free(c);
    return 0;
}

// Writes what is left of a long response; false when the connection is gone.
static int write_body(conn *c) {
    for (size_t written = 0; c->to_write;) {
        if (written >= TURN_BYTES) {
            if (!c->is_due) c->is_due = 1, c->next_due = due, due = c;
            return 1;
        }
        size_t count = c->to_write < BODY_BYTES ? c->to_write : BODY_BYTES;
        ssize_t sent = send(c->fd, body, count, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN ? 1 : drop(c);
        c->to_write -= sent;
        written += sent;
    }
    return 1;
}

static int answer(conn *c, size_t size) {
    char head[512];
    if (c->is_raw || size > CACHED_MAX) {
        if (!c->is_raw) send(c->fd, head, write_head(head, size), MSG_NOSIGNAL | MSG_MORE);
        c->to_write = size;
        return write_body(c);
    }
    int i = 0;
    while (i < 15 && cache[i].text && cache[i].size != size) i++;
    if (!cache[i].text || cache[i].size != size) {
        free(cache[i].text);
        cache[i].text = malloc(size + sizeof head);
        cache[i].size = size;
        cache[i].bytes = write_head(cache[i].text, size);
        memset(cache[i].text + cache[i].bytes, 'x', size);
        cache[i].bytes += size;
    }
    ssize_t sent = send(c->fd, cache[i].text, cache[i].bytes, MSG_NOSIGNAL);
    if (sent < 0) sent = 0;
    // The rest of a short response that met a full socket is made of the same letters.
    c->to_write = cache[i].bytes - sent;
    return write_body(c);
}

static int hold(conn *c) {
    c->is_held = 1;
    c->next_held = held;
    held = c;
    if (++held_count == held_told) puts("held"), fflush(stdout);
    return 1;
}

static void release(void) {
    released = 0;
    while (held) {
        conn *c = held;
        held = c->next_held;
        c->is_held = 0;
        if (c->fd < 0) free(c);
        else answer(c, 128);
    }
    held_count = 0;
}

// A whole request head, and what came of its body; false when the connection is gone.
static int request(conn *c, char *head, size_t body_bytes) {
    c->answer = 128;
    if (head[0] == 'G') {
        if (!strncmp(head, "GET /held", 9)) return hold(c);
        return answer(c, strtoul(head + 5, NULL, 10));
    }
    const char *length = strcasestr(head, "\ncontent-length:");
    c->to_read = length ? strtoul(length + 16, NULL, 10) : 0;
    c->to_read -= body_bytes;
    return c->to_read ? 1 : answer(c, c->answer);
}

static int keep_head(conn *c, const char *bytes, size_t count) {
    if (!c->head) c->head = malloc(HEAD_MAX + 1);
    if (c->head_bytes + count > HEAD_MAX) return drop(c);
    memcpy(c->head + c->head_bytes, bytes, count);
    c->head_bytes += count;
    c->head[c->head_bytes] = 0;
    char *end = memmem(c->head, c->head_bytes, "\r\n\r\n", 4);
    if (!end) return 1;
    size_t body_bytes = c->head_bytes - (end + 4 - c->head);
    c->head_bytes = 0;
    return request(c, c->head, body_bytes);
}

static int read_on(conn *c) {
    for (;;) {
        // A body is discarded in the kernel.
        int flags = c->to_read > sizeof buffer ? MSG_TRUNC : 0;
        size_t room = c->to_read > sizeof buffer ? c->to_read : sizeof buffer - 1;
        ssize_t got = recv(c->fd, buffer, room, flags);
        if (got < 0) return errno == EAGAIN ? 1 : drop(c);
        if (got == 0) return drop(c);
        if (c->to_read) {
            if ((size_t)got > c->to_read) die("more came than was announced");
            c->to_read -= got;
            if (!c->to_read && !answer(c, c->answer)) return 0;
        } else if (c->is_raw) {
            unsigned length;
            memcpy(&length, buffer, 4);
            if (got < 4 || length < (size_t)got) die("a message of another length");
            c->answer = length;
            c->to_read = length - got;
            if (!c->to_read && !answer(c, length)) return 0;
        } else if (c->head_bytes) {
            if (!keep_head(c, buffer, got)) return 0;
        } else {
            buffer[got] = 0;
            char *end = memmem(buffer, got, "\r\n\r\n", 4);
            int lives = end ? request(c, buffer, buffer + got - (end + 4)) : keep_head(c, buffer, got);
            if (!lives) return 0;
        }
        if ((size_t)got < room && !flags) return 1;  // later bytes are a new edge
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // accepted sockets inherit it
    // Every address 127.x.y.z, but no other.
    struct sockaddr_in at = {AF_INET, htons(port), {htonl(INADDR_ANY)}, {0}};
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)) die("SO_BINDTODEVICE");
    socklen_t size = sizeof at;
    if (bind(fd, (struct sockaddr *)&at, size) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&at, &size);
    printf("%d ", ntohs(at.sin_port));
    return fd;
}

static void accept_all(int listener, int is_raw) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->is_raw = is_raw;
        struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED) die("accept");
}

static void on_release(int signal) {
    (void)signal;
    released = 1;
}

int main(int count, char **words) {
    if (count < 3) {
        fprintf(stderr, "usage: backend HTTP_PORT RAW_PORT [HELD]\n");
        return 2;
    }
    held_told = count > 3 ? strtoul(words[3], NULL, 10) : 0;
    signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = on_release};
    sigaction(SIGUSR1, &action, NULL);
    memset(body, 'x', sizeof body);
    epoll = epoll_create1(0);
    int listeners[2] = {listen_on(atoi(words[1])), listen_on(atoi(words[2]))};
    puts("");
    fflush(stdout);
    struct epoll_event events[EVENTS_MAX];
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {EPOLLIN | EPOLLET, {.ptr = &listeners[i]}};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &event)) die("epoll_ctl");
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS_MAX, due ? 0 : -1);
        if (released) release();
        for (int i = 0; i < ready; i++) {
            void *which = events[i].data.ptr;
            unsigned what = events[i].events;
            if (which == &listeners[0] || which == &listeners[1]) {
                accept_all(*(int *)which, which == &listeners[1]);
                continue;
            }
            conn *c = which;
            if ((what & EPOLLOUT) && c->to_write && !write_body(c)) continue;
            if (what & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) read_on(c);
        }
        conn *again = due;
        due = NULL;
        while (again) {
            conn *c = again;
            again = c->next_due;
            c->is_due = 0;
            write_body(c);
        }
    }
}

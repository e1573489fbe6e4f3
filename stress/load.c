// The load: a fixed number of requests over a fixed number of connections, each of which sends its
// next request when its response is complete. One thread, edge-triggered epoll.
//
//   load [-c CONNECTIONS] [-n REQUESTS] [-u TARGET | -s BODY | -p BODY | -r MESSAGE] [-b] [-x]
//        [-o RATE] [-h HEAD] [-i] [-w] [-f] [-k BYTES] PORT
//
//   -u TARGET   GET this [/128]          -s BODY      PUT a body of BODY bytes
//   -p BODY     POST a body of BODY bytes
//   -r MESSAGE  no HTTP: messages of MESSAGE bytes, echoed
//   -b          with a browser's 19 request fields
//   -h HEAD     with a cookie that makes the request's head HEAD bytes long
//   -x          a new connection per request
//   -o RATE     open loop: requests are due at random moments, RATE a second on average, the same
//               in each run; one that is due takes the connection that has been idle for longest,
//               or waits for one; its time runs from when it was due, so that no stall is hidden
//   -i          only open the connections, one request on each, and stay
//   -w          only send one request on each connection, read nothing, and stay
//   -f          the same with an unfinished head: its last line end is not sent
//   -k BYTES    the same, and each reads BYTES a second of what comes, one after the other
//
// Prints "ready" after one request per connection (so that connecting is not measured), starts at
// a line on standard input, prints "requests seconds p50 p99 p999" (microseconds), and stays
// connected until standard input ends.
//
//   load -e PORT COMMAND...   milliseconds from exec of COMMAND to its first response on PORT

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, HEAD_MAX = 8 * 1024, PIECE_BYTES = 256 * 1024, STALL_S = 20 };

typedef struct conn {
    int fd;
    int answered;         // -x: the response is complete, the end is awaited
    size_t request_left;  // of head and body
    size_t body_left;     // of the response; SIZE_MAX while its head is awaited
    size_t head_bytes;
    char *head;           // of a head that is not complete
    uint64_t since;
    struct conn *next_idle;
} conn;

static int port, epoll, connections = 32, is_new, is_raw;
static size_t message, request_bytes;
static char request[HEAD_MAX], buffer[PIECE_BYTES], piece[PIECE_BYTES];
static size_t request_head;
static conn *conns;
static uint32_t *samples;
static size_t withheld, slow_bytes;
static int stayed;
static size_t wanted, begun, done;
static double rate, due;  // open loop: a second; when the next request is due, in ns
static conn *idle_first, *idle_last;

static const char BROWSER[] =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n"
    "Cache-Control: max-age=0\r\n"
    "Cookie: session=5f2b8c1e9d7a4f60b3c2d1e0f9a8b7c6; theme=dark; consent=essential\r\n"
    "DNT: 1\r\n"
    "If-Modified-Since: Mon, 30 Jun 2025 09:12:44 GMT\r\n"
    "If-None-Match: \"68625a1c-80\"\r\n"
    "Priority: u=0, i\r\n"
    "Referer: http://www.example.com/articles/index.html\r\n"
    "Sec-CH-UA: \"Chromium\";v=\"126\", \"Not/A)Brand\";v=\"8\"\r\n"
    "Sec-CH-UA-Mobile: ?0\r\n"
    "Sec-CH-UA-Platform: \"Linux\"\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Upgrade-Insecure-Requests: 1\r\n";  // and Host: 19

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void wrong(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int try_connect(void) {
    struct sockaddr_in to = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!connect(fd, (struct sockaddr *)&to, sizeof to)) return fd;
    close(fd);
    return -1;
}

static void open_conn(conn *c) {
    c->fd = try_connect();
    if (c->fd < 0) die("connect");
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = c}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static void send_on(conn *c) {
    while (c->request_left) {
        size_t at = request_bytes - c->request_left, count;
        const char *from = piece;
        if (is_raw && at) count = c->request_left;
        else if (at < request_head) count = request_head - at, from = request + at;
        else count = c->request_left;
        if (count > PIECE_BYTES) count = PIECE_BYTES;
        int more = c->request_left > count ? MSG_MORE : 0;
        ssize_t sent = send(c->fd, from, count, MSG_DONTWAIT | MSG_NOSIGNAL | more);
        if (sent < 0) {
            if (errno == EAGAIN) return;
            die("send");
        }
        c->request_left -= sent;
    }
}

static void begin(conn *c, uint64_t since) {
    begun++;
    c->since = since;
    if (is_new) open_conn(c);
    c->answered = 0;
    c->head_bytes = 0;
    c->request_left = request_bytes;
    if (withheld) {
        if (send(c->fd, request, request_head - withheld, MSG_NOSIGNAL) < 0) die("send");
        return;
    }
    c->body_left = is_raw ? message : SIZE_MAX;
    send_on(c);
}

static void stay_idle(conn *c) {
    c->next_idle = NULL;
    if (idle_first) idle_last->next_idle = c;
    else idle_first = c;
    idle_last = c;
}

// Open loop: begins what is due. Requests that wait for a connection are those not yet begun.
static void begin_due(void) {
    while (begun < wanted && idle_first && due <= now_ns()) {
        conn *c = idle_first;
        idle_first = c->next_idle;
        begin(c, due);
        due -= log(1 - drand48()) / rate * 1e9;
    }
}

static void finish(conn *c) {
    uint64_t now = now_ns(), took = now - c->since;
    if (samples) samples[done] = took > UINT32_MAX ? UINT32_MAX : took;
    done++;
    if (is_new) close(c->fd), c->fd = -1;
    if (rate) stay_idle(c);
    else if (begun < wanted) begin(c, now);
}

// The head of a response; how many bytes of it are in `bytes`, 0 if it is not whole.
static size_t read_head(conn *c, const char *bytes, size_t count) {
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(bytes, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "load: unexpected response: %.60s\n", bytes);
        exit(1);
    }
    size_t head = end + 4 - bytes;
    const char *length = NULL;
    for (const char *line = memchr(bytes, '\n', head); line && line < end;
         line = memchr(line + 1, '\n', end + 2 - line - 1))
        if (!strncasecmp(line + 1, "content-length:", 15)) {
            length = line + 16;
            break;
        }
    if (!length) wrong("a response without Content-Length");
    c->body_left = strtoul(length, NULL, 10);
    return head;
}

// True when the response is complete.
static int take(conn *c, char *bytes, size_t count) {
    if (c->body_left == SIZE_MAX) {
        if (c->head_bytes) {
            if (c->head_bytes + count > sizeof buffer) wrong("the response head is too long");
            memmove(bytes + c->head_bytes, bytes, count);
            memcpy(bytes, c->head, c->head_bytes);
            count += c->head_bytes;
        }
        size_t head = read_head(c, bytes, count);
        if (!head) {
            if (count > HEAD_MAX) wrong("the response head is too long");
            if (!c->head) c->head = malloc(HEAD_MAX);
            memcpy(c->head, bytes, count);
            c->head_bytes = count;
            return 0;
        }
        count -= head;
    }
    if (count > c->body_left) wrong("more came than was announced");
    c->body_left -= count;
    return c->body_left == 0;
}

static void receive_on(conn *c) {
    for (;;) {
        // A long body is discarded in the kernel.
        int is_long = c->body_left != SIZE_MAX && c->body_left > PIECE_BYTES;
        size_t room = is_long ? c->body_left : sizeof buffer - HEAD_MAX;
        ssize_t got = recv(c->fd, buffer, room, MSG_DONTWAIT | (is_long ? MSG_TRUNC : 0));
        if (got < 0) {
            if (errno == EAGAIN) return;
            die("receive");
        }
        if (got == 0) {
            if (!c->answered) wrong("the connection ended within a response");
            finish(c);
            return;
        }
        if (c->answered) wrong("more came than was announced");
        if (is_long ? (c->body_left -= got) == 0 : take(c, buffer, got)) {
            // With a connection per request its end is part of it.
            if (is_new) {
                c->answered = 1;
                continue;
            }
            finish(c);
            return;
        }
        if (!is_long && (size_t)got < room && !is_new) return;
    }
}

// Until something happens, or the next request is due and may begin.
static int wait_for(struct epoll_event *events) {
    struct timespec timeout = {STALL_S, 0};
    int timed = rate && begun < wanted && idle_first;
    if (timed) {
        double left = due - now_ns();
        uint64_t ns = left > 0 ? left : 0;
        timeout = (struct timespec){ns / 1000000000, ns % 1000000000};
    }
    int ready = epoll_pwait2(epoll, events, EVENTS_MAX, &timeout, NULL);
    if (ready < 0) die("epoll_pwait2");
    if (ready == 0 && !timed) wrong("no response for 20 s");
    return ready;
}

static void run(size_t count) {
    struct epoll_event events[EVENTS_MAX];
    wanted = count;
    begun = done = 0;
    due = now_ns();
    for (int i = 0; i < connections; i++) {
        if (rate) stay_idle(&conns[i]);
        else if (begun < wanted) begin(&conns[i], now_ns());
    }
    while (done < wanted) {
        begin_due();
        int ready = wait_for(events);
        for (int i = 0; i < ready; i++) {
            conn *c = events[i].data.ptr;
            if (c->fd < 0) continue;
            if (c->request_left) send_on(c);
            if ((events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) &&
                (c->body_left || c->answered))
                receive_on(c);
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void ready(void) {
    char line[64];
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

static void measure(size_t count, double open_rate) {
    run(connections);
    rate = open_rate;
    prctl(PR_SET_TIMERSLACK, 1);  // wake when it is due, not up to 50 µs later
    samples = malloc(count * sizeof *samples);
    memset(samples, 0, count * sizeof *samples);
    ready();
    uint64_t since = now_ns();
    run(count);
    double seconds = (now_ns() - since) / 1e9;
    qsort(samples, count, sizeof *samples, by_size);
    printf("%zu %.6f %.1f %.1f %.1f\n", count, seconds, samples[count / 2] / 1e3,
           samples[count * 99 / 100] / 1e3, samples[count * 999 / 1000] / 1e3);
    fflush(stdout);
    while (getchar() != EOF) {}
}

// Every tenth of a second a tenth of the connections before `end` read, until standard input ends.
static void read_slowly(conn *end) {
    conn *first = end - stayed;
    for (int part = 0;; part = (part + 1) % 10) {
        for (conn *c = first + part; c < end; c += 10) {
            size_t room = slow_bytes < sizeof buffer ? slow_bytes : sizeof buffer;
            if (recv(c->fd, buffer, room, MSG_DONTWAIT) == 0) wrong("a response ended");
        }
        struct pollfd input = {0, POLLIN, 0};
        if (poll(&input, 1, 100) && getchar() == EOF) return;
    }
}

// Opens one connection after the other, a request on each; its response is read first if `reads`.
static void stay(int reads) {
    conn *end = conns + connections;
    stayed = connections;
    connections = 1;
    for (; conns < end; conns++) {
        open_conn(conns);
        if (reads) run(1);
        else begin(conns, now_ns());
    }
    ready();
    if (slow_bytes) read_slowly(end);
    while (getchar() != EOF) {}
}

static void start_up(char **command) {
    extern char **environ;
    pid_t child;
    uint64_t since = now_ns();
    if (posix_spawn(&child, command[0], NULL, NULL, command, environ)) die(command[0]);
    for (;;) {
        if (now_ns() - since > 5000000000ull) {
            kill(child, SIGKILL);
            wrong("no response for 5 s");
        }
        int fd = try_connect();
        if (fd < 0) {
            usleep(50);
            continue;
        }
        if (send(fd, request, request_head, MSG_NOSIGNAL) > 0 && recv(fd, buffer, 4096, 0) > 12 &&
            !memcmp(buffer, "HTTP/1.1 200", 12))
            break;
        close(fd);
    }
    printf("%.3f\n", (now_ns() - since) / 1e6);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(int count, char **words) {
    const char *target = "/128", *method = "GET";
    size_t requests = 1000, body = 0, head = 0;
    double open_rate = 0;
    int option, browser = 0, idle = 0, unread = 0, start = 0;
    while ((option = getopt(count, words, "+c:n:u:s:p:r:bxo:h:iwfk:e")) != -1) switch (option) {
            case 'c': connections = atoi(optarg); break;
            case 'n': requests = strtoul(optarg, NULL, 10); break;
            case 'u': target = optarg; break;
            case 's': method = "PUT", body = strtoul(optarg, NULL, 10); break;
            case 'p': method = "POST", body = strtoul(optarg, NULL, 10); break;
            case 'r': is_raw = 1, message = strtoul(optarg, NULL, 10); break;
            case 'b': browser = 1; break;
            case 'x': is_new = 1; break;
            case 'o': open_rate = atof(optarg); break;
            case 'h': head = strtoul(optarg, NULL, 10); break;
            case 'i': idle = 1; break;
            case 'w': unread = 1; break;
            case 'f': unread = 1, withheld = 2; break;
            case 'k': unread = 1, slow_bytes = strtoul(optarg, NULL, 10); break;
            case 'e': start = 1; break;
            default: return 2;
        }
    if (optind == count || connections < 1) wrong("see the first lines of load.c");
    port = atoi(words[optind]);
    if (is_raw) {
        unsigned length = message;
        memcpy(request, &length, 4);
        memset(request + 4, 'x', sizeof request - 4);
        request_head = message < sizeof request ? message : 4;
        request_bytes = message;
    } else {
        request_head = sprintf(request, "%s %s HTTP/1.1\r\nHost: www.example.com\r\n%s%s",
                               method, target, browser ? BROWSER : "",
                               is_new ? "Connection: close\r\n" : "");
        if (strcmp(method, "GET"))
            request_head += sprintf(request + request_head, "Content-Length: %zu\r\n", body);
        size_t cookie = request_head + sizeof "Cookie: \r\n\r\n" - 1;
        if (head > sizeof request || (head && head < cookie)) wrong("a head of that size: -h");
        if (head) {
            request_head += sprintf(request + request_head, "Cookie: ");
            memset(request + request_head, 'x', head - cookie);
            request_head += head - cookie;
            request_head += sprintf(request + request_head, "\r\n");
        }
        request_head += sprintf(request + request_head, "\r\n");
        request_bytes = request_head + body;
    }
    memset(piece, 'x', sizeof piece);
    signal(SIGPIPE, SIG_IGN);
    if (start) {
        start_up(words + optind + 1);
        return 0;
    }
    epoll = epoll_create1(0);
    conns = calloc(connections, sizeof *conns);
    for (int i = 0; i < connections; i++) {
        conns[i].fd = -1;
        if (!is_new && !idle && !unread) open_conn(&conns[i]);
    }
    if (idle || unread) stay(idle);
    else measure(requests, open_rate);
    return 0;
}

/* TFTP load: many clients that fetch one file, each from an address and port of its own.
 *
 *   tftp_load SERVER FILE size=N [clients=N] [transfers=N] [blksize=N] [windowsize=N] [delay_us=N]
 *
 * Every client asks again as soon as it has the whole file, until `transfers` were begun. `delay_us` holds each
 * ACK back, which is what a link with that round-trip time does to a lock-step transfer. The file's eight-octet
 * words hold their own offset, so a block in the wrong place is seen. Client N has the address 10.78.0.1 + N,
 * because servers rightly limit how much one address may ask for. One line of JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RRQ = 1, DATA = 3, ACK_OP = 4, ERROR_OP = 5, OACK = 6 };
enum { MAX_CLIENTS = 4096, MAX_TRIES = 8, FIRST_ADDRESS = 10 << 24 | 78 << 16 | 1 };
static const uint64_t TIMEOUT_US = 1000000;

struct client {
    int socket, known; /* known: the server's port of this transfer was seen */
    struct sockaddr_in server;
    uint64_t next, moved_us, due_us; /* next block; when it last got on; when a held back ACK leaves */
    uint32_t blksize, windowsize, in_window;
    int tries, gap;
};

static struct {
    struct sockaddr_in server;
    const char *file;
    uint64_t size, delay_us, bytes, repeats, wrong;
    uint32_t clients, transfers, blksize, windowsize, begun, done, failed, got_blksize, got_windowsize;
    char reason[120];
} L;

static struct client clients[MAX_CLIENTS];
static int waiting;

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void send_to_server(struct client *c, const void *data, size_t length) {
    while (sendto(c->socket, data, length, 0, (struct sockaddr *)&c->server, sizeof c->server) < 0)
        if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR) return; /* an ICMP error: time out */
}

static void send_ack(struct client *c) {
    uint16_t packet[2] = {htons(ACK_OP), htons((uint16_t)(c->next - 1))};
    c->due_us = 0, c->in_window = 0;
    send_to_server(c, packet, sizeof packet);
}

static void acknowledge(struct client *c) {
    if (L.delay_us) c->due_us = now_us() + L.delay_us;
    else send_ack(c);
}

static char *put(char *at, const char *text) { return stpcpy(at, text) + 1; }

static char *put_number(char *at, const char *name, uint64_t value) {
    at = put(at, name);
    return at + sprintf(at, "%lu", value) + 1;
}

static void send_request(struct client *c) {
    char packet[600] = {0, RRQ}, *at = put(put(packet + 2, L.file), "octet");
    at = put_number(at, "tsize", 0);
    if (L.blksize != 512) at = put_number(at, "blksize", L.blksize);
    if (L.windowsize != 1) at = put_number(at, "windowsize", L.windowsize);
    send_to_server(c, packet, (size_t)(at - packet));
}

static void begin(struct client *c) {
    if (c->socket >= 0) close(c->socket);
    c->socket = -1;
    if (L.begun >= L.transfers) return;
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = htonl(FIRST_ADDRESS + (uint32_t)(c - clients));
    int fresh = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), buffer = 1 << 20;
    setsockopt(fresh, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (fresh < 0 || bind(fresh, (struct sockaddr *)&own, sizeof own) ||
        epoll_ctl(waiting, EPOLL_CTL_ADD, fresh, &event)) {
        perror("socket");
        exit(1);
    }
    *c = (struct client){.socket = fresh, .server = L.server, .next = 1, .blksize = 512, .windowsize = 1};
    c->moved_us = now_us();
    L.begun++;
    send_request(c);
}

static void fail(struct client *c, const char *reason) {
    L.failed++;
    snprintf(L.reason, sizeof L.reason, "%.100s", reason);
    begin(c);
}

static void read_oack(struct client *c, const char *at, const char *end) {
    while (at < end) {
        const char *name = at, *value = name + strnlen(name, (size_t)(end - name)) + 1;
        if (value >= end) break;
        if (!strcasecmp(name, "blksize")) c->blksize = (uint32_t)atoi(value);
        if (!strcasecmp(name, "windowsize")) c->windowsize = (uint32_t)atoi(value);
        at = value + strnlen(value, (size_t)(end - value)) + 1;
    }
    c->next = 1;
    acknowledge(c);
}

static int fits(uint64_t offset, const uint8_t *data, size_t length) {
    uint64_t skip = (8 - offset % 8) % 8, word;
    if (skip + 8 > length) return 1;
    memcpy(&word, data + skip, 8);
    return word == offset + skip;
}

static void read_data(struct client *c, uint16_t block, const uint8_t *data, size_t length) {
    if (block != (uint16_t)c->next) {
        /* Ahead of what is due: say once what came last (RFC 7440 section 4). Behind it: heard before. */
        if ((uint16_t)(block - (uint16_t)c->next) < 0x8000 && !c->gap) c->gap = 1, send_ack(c);
        return;
    }
    uint64_t offset = (c->next - 1) * c->blksize;
    L.wrong += !fits(offset, data, length);
    c->next++, c->gap = 0, c->tries = 0, c->in_window++;
    c->moved_us = now_us();
    L.bytes += length;
    if (length < c->blksize) {
        send_ack(c);
        L.wrong += offset + length != L.size;
        L.done++;
        L.got_blksize = c->blksize, L.got_windowsize = c->windowsize;
        begin(c);
    } else if (c->in_window >= c->windowsize) {
        acknowledge(c);
    }
}

static void receive(struct client *c) {
    static uint8_t packet[65536];
    for (int of = c->socket; c->socket == of && of >= 0;) { /* a new transfer has a new socket */
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t length = recvfrom(c->socket, packet, sizeof packet - 1, 0, (struct sockaddr *)&from, &size);
        if (length < 4) return;
        if (!c->known) c->known = 1, c->server = from;
        if (from.sin_port != c->server.sin_port) continue;
        packet[length] = 0;
        if (packet[1] == OACK && c->next == 1) read_oack(c, (char *)packet + 2, (char *)packet + length);
        else if (packet[1] == DATA) read_data(c, (uint16_t)(packet[2] << 8 | packet[3]), packet + 4, (size_t)length - 4);
        else if (packet[1] == ERROR_OP) { fail(c, (char *)packet + 4); return; }
    }
}

static void look_at_clocks(void) {
    uint64_t now = now_us();
    for (uint32_t i = 0; i < L.clients; i++) {
        struct client *c = &clients[i];
        if (c->socket < 0) continue;
        if (c->due_us && c->due_us <= now) send_ack(c);
        if (now - c->moved_us < TIMEOUT_US) continue;
        if (++c->tries > MAX_TRIES) { fail(c, "no answer"); continue; }
        L.repeats++;
        c->moved_us = now;
        if (c->known) send_ack(c);
        else send_request(c);
    }
}

static void run(void) {
    struct epoll_event events[256];
    uint64_t looked = now_us();
    uint64_t every = L.delay_us ? 100 : 100000;
    for (uint32_t i = 0; i < L.clients; i++) clients[i].socket = -1, begin(&clients[i]);
    while (L.done + L.failed < L.transfers) {
        struct timespec wait = {.tv_nsec = (long)every * 1000};
        int count = epoll_pwait2(waiting, events, 256, &wait, NULL);
        for (int i = 0; i < count; i++) receive(events[i].data.ptr);
        if (now_us() - looked >= every) look_at_clocks(), looked = now_us();
    }
}

int main(int count, char **words) {
    L.clients = 1, L.blksize = 1468, L.windowsize = 1;
    if (count < 4 || inet_pton(AF_INET, words[1], &L.server.sin_addr) != 1 || strlen(words[2]) > 400) return 2;
    L.server.sin_family = AF_INET, L.server.sin_port = htons(69), L.file = words[2];
    for (int i = 3; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value) return 2;
        *value++ = 0;
        uint64_t number = strtoull(value, NULL, 10);
        if (!strcmp(words[i], "size")) L.size = number;
        else if (!strcmp(words[i], "clients")) L.clients = (uint32_t)number;
        else if (!strcmp(words[i], "transfers")) L.transfers = (uint32_t)number;
        else if (!strcmp(words[i], "blksize")) L.blksize = (uint32_t)number;
        else if (!strcmp(words[i], "windowsize")) L.windowsize = (uint32_t)number;
        else if (!strcmp(words[i], "delay_us")) L.delay_us = number;
        else return 2;
    }
    if (!L.transfers) L.transfers = L.clients;
    if (!L.clients || L.clients > MAX_CLIENTS) return 2;
    waiting = epoll_create1(0);
    uint64_t start = now_us();
    run();
    for (char *c = L.reason; *c; c++) if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = ' ';
    printf("{\"transfers\": %u, \"failed\": %u, \"reason\": \"%s\", \"repeats\": %lu, \"wrong\": %lu, "
           "\"bytes\": %lu, \"seconds\": %.6f, \"blksize\": %u, \"windowsize\": %u}\n",
           L.done, L.failed, L.reason, L.repeats, L.wrong, L.bytes, (double)(now_us() - start) / 1e6,
           L.got_blksize, L.got_windowsize);
    return 0;
}

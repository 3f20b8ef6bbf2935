/* DHCP load: many clients behind one relay, a fixed number of exchanges in flight (closed loop).
 *
 *   dhcp_load SERVER SOURCE first=N clients=N window=N seconds=S          exchanges by new clients
 *   dhcp_load SERVER SOURCE first=N clients=N window=N exchanges=N        as many as asked for
 *   dhcp_load SERVER SOURCE first=N clients=N probe_us=5000 seconds=S     one DISCOVER each 5 ms, answer times
 *
 * In C, because the generator shares two cores with the server: a generator in Python would be what is measured.
 * Packets are those of a UEFI machine (options 60, 93, 94, 97, 57, a request list of 35) with option 82 of its
 * port. Clients are numbered; after `clients` of them they begin again with the first. One line of JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK };
enum { BATCH = 64, PACKET_BYTES = 576, MAX_SLOTS = 4096, MAX_TRIES = 8, ADDRESS_BITS = 20 };

enum { TIMEOUT_US = 1000000, PROBE_TIMEOUT_US = 10000000 }; /* a probe wants to know how long, not to be served */

static const uint8_t WANTED[] = {1,  2,  3,  4,  5,  6,  12, 13, 15, 17, 18, 22,  23,  28,  40,  41,  42, 43,
                                 50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135};

struct slot { /* One client in the middle of its exchange. */
    uint32_t xid, client, address, server;
    int stage, tries; /* 0: idle; else the message that was sent last */
    uint64_t began_us, sent_us;
};

struct times { /* Microseconds, one per answer. */
    uint32_t *us;
    size_t count, room;
};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void note(struct times *t, uint64_t us) {
    if (t->count == t->room) {
        t->room = t->room ? t->room * 2 : 1 << 16;
        t->us = realloc(t->us, t->room * sizeof *t->us);
        if (!t->us) exit(1);
    }
    t->us[t->count++] = (uint32_t)us;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t quantile(const struct times *t, double q) {
    return t->count ? t->us[(size_t)(q * (double)(t->count - 1))] : 0;
}

static void print_times(const char *name, struct times *t) {
    qsort(t->us, t->count, sizeof *t->us, by_size);
    printf(", \"%s_us\": {\"p50\": %u, \"p99\": %u, \"max\": %u}", name, quantile(t, .5), quantile(t, .99),
           quantile(t, 1));
}

static uint8_t *option(uint8_t *at, uint8_t code, const void *value, uint8_t length) {
    *at++ = code;
    *at++ = length;
    memcpy(at, value, length);
    return at + length;
}

static void client_mac(uint8_t *mac, uint32_t client) {
    uint32_t number = htonl(client);
    mac[0] = 2, mac[1] = 0xed;
    memcpy(mac + 2, &number, 4);
}

static size_t build(uint8_t *packet, const struct slot *s, uint32_t giaddr) {
    uint8_t mac[6], uuid[17] = {0}, port[8 + 2 + 2 + 6], type = (uint8_t)s->stage;
    uint32_t xid = htonl(s->xid);
    client_mac(mac, s->client);
    memcpy(uuid + 11, mac, 6);
    memset(packet, 0, 240);
    packet[0] = 1, packet[1] = 1, packet[2] = 6, packet[3] = 1;
    memcpy(packet + 4, &xid, 4);
    memcpy(packet + 24, &giaddr, 4);
    memcpy(packet + 28, mac, 6);
    memcpy(packet + 236, "\x63\x82\x53\x63", 4);
    uint8_t *at = option(packet + 240, 53, &type, 1);
    if (s->stage == REQUEST) {
        at = option(at, 50, &s->address, 4);
        at = option(at, 54, &s->server, 4);
    }
    at = option(at, 57, "\x05\xc0", 2);
    at = option(at, 55, WANTED, sizeof WANTED);
    at = option(at, 97, uuid, sizeof uuid);
    at = option(at, 94, "\x01\x03\x10", 3);
    at = option(at, 93, "\x00\x07", 2);
    at = option(at, 60, "PXEClient:Arch:00007:UNDI:003016", 32);
    memcpy(port, "\x01\x08" "eth0/001" "\x02\x06", 12);
    memcpy(port + 12, mac, 6);
    at = option(at, 82, port, sizeof port);
    *at++ = 255;
    return (size_t)(at - packet);
}

struct load {
    int socket;
    struct sockaddr_in server;
    uint32_t giaddr, first, clients, window, begun, exchanges;
    uint64_t seconds_us, probe_us;
    struct slot slots[MAX_SLOTS];
    struct times offer, ack, whole;
    uint64_t done, repeats, lost, naks, doubled, late;
    uint8_t *taken; /* bit per address: whether somebody was given it in this run */
};

static struct load L;

static void transmit(struct slot *s) {
    uint8_t packet[PACKET_BYTES];
    size_t length = build(packet, s, L.giaddr);
    s->sent_us = now_us();
    while (sendto(L.socket, packet, length, 0, (struct sockaddr *)&L.server, sizeof L.server) < 0)
        if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR && errno != ECONNREFUSED) {
            perror("sendto");
            exit(1);
        }
}

static void begin(struct slot *s) {
    uint32_t number = (uint32_t)(s - L.slots);
    s->client = L.first + L.begun++ % L.clients;
    s->xid = (s->xid & ~(uint32_t)(MAX_SLOTS - 1)) + MAX_SLOTS + number; /* a new generation of this slot */
    s->stage = DISCOVER, s->tries = 1;
    transmit(s);
    s->began_us = s->sent_us;
}

static const uint8_t *find(const uint8_t *packet, ssize_t length, uint8_t code) {
    for (ssize_t at = 240; at + 1 < length && packet[at] != 255;) {
        if (packet[at] == 0) { at++; continue; }
        if (at + 2 + packet[at + 1] > length) return NULL;
        if (packet[at] == code) return packet + at + 1; /* length, then value */
        at += 2 + packet[at + 1];
    }
    return NULL;
}

static void bound(struct slot *s) {
    uint32_t bit = ntohl(s->address) & ((1u << ADDRESS_BITS) - 1);
    uint8_t mask = (uint8_t)(1u << (bit & 7));
    if (L.begun <= L.clients && L.taken[bit >> 3] & mask) L.doubled++;
    L.taken[bit >> 3] |= mask;
    L.done++;
}

static void receive(const uint8_t *packet, ssize_t length, uint64_t now) {
    if (length < 244) return;
    uint32_t xid;
    memcpy(&xid, packet + 4, 4);
    xid = ntohl(xid);
    struct slot *s = &L.slots[xid % MAX_SLOTS];
    const uint8_t *type = find(packet, length, 53), *server = find(packet, length, 54);
    if (s->xid != xid || !type) { L.late++; return; }
    if (s->stage == DISCOVER && type[1] == OFFER && server && server[0] == 4) {
        note(&L.offer, now - s->sent_us);
        if (L.probe_us) { s->stage = 0; L.done++; return; }
        memcpy(&s->address, packet + 16, 4);
        memcpy(&s->server, server + 1, 4);
        s->stage = REQUEST, s->tries = 1;
        transmit(s);
    } else if (s->stage == REQUEST && type[1] == ACK) {
        note(&L.ack, now - s->sent_us);
        note(&L.whole, now - s->began_us);
        s->stage = 0;
        bound(s);
    } else if (s->stage == REQUEST && type[1] == NAK) {
        L.naks++;
        s->stage = 0;
    }
}

static void drain(void) {
    static uint8_t packets[BATCH][1500];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){packets[i], sizeof packets[i]};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(L.socket, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = now_us();
    for (int i = 0; i < count; i++) receive(packets[i], messages[i].msg_len, now);
}

static void repeat(uint64_t now) {
    for (uint32_t i = 0; i < L.window; i++) {
        struct slot *s = &L.slots[i];
        if (!s->stage || now - s->sent_us < (L.probe_us ? PROBE_TIMEOUT_US : TIMEOUT_US)) continue;
        if (s->tries++ >= MAX_TRIES || L.probe_us) { L.lost++; s->stage = 0; continue; }
        L.repeats++;
        transmit(s);
    }
}

static int may_begin(uint64_t now, uint64_t start) {
    if (L.exchanges && L.begun >= L.exchanges) return 0;
    if (L.seconds_us && now - start >= L.seconds_us) return 0;
    return !L.probe_us || now - start >= (uint64_t)L.begun * L.probe_us;
}

static uint64_t run(void) {
    uint64_t start = now_us(), looked = start, now = start;
    for (;;) {
        uint32_t busy = 0;
        for (uint32_t i = 0; i < L.window; i++) {
            if (!L.slots[i].stage && may_begin(now, start)) begin(&L.slots[i]);
            busy += L.slots[i].stage != 0;
        }
        int over = (L.seconds_us && now - start >= L.seconds_us) || (L.exchanges && L.begun >= L.exchanges);
        /* A timed run ends with its time; exchanges under way then count for nobody. A probe waits for them. */
        if (over && (!busy || (L.seconds_us && !L.probe_us))) break;
        struct pollfd waited = {L.socket, POLLIN, 0};
        if (poll(&waited, 1, L.probe_us ? 1 : 100) > 0) drain();
        now = now_us();
        if (now - looked > 100000) { repeat(now); looked = now; }
    }
    return now_us() - start;
}

static void read_arguments(int count, char **words) {
    uint32_t source;
    if (count < 4 || inet_pton(AF_INET, words[1], &L.server.sin_addr) != 1 ||
        inet_pton(AF_INET, words[2], &source) != 1) {
        fprintf(stderr, "usage: dhcp_load SERVER SOURCE name=value...\n");
        exit(2);
    }
    L.giaddr = source, L.first = 1, L.clients = UINT32_MAX, L.window = 64;
    for (int i = 3; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value) exit(2);
        *value++ = 0;
        if (!strcmp(words[i], "first")) L.first = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(words[i], "clients")) L.clients = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(words[i], "window")) L.window = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(words[i], "exchanges")) L.exchanges = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(words[i], "seconds")) L.seconds_us = (uint64_t)(strtod(value, NULL) * 1e6);
        else if (!strcmp(words[i], "probe_us")) L.probe_us = strtoul(value, NULL, 10);
        else exit(2);
    }
    if (L.probe_us) L.window = MAX_SLOTS; /* it never waits for an answer before it asks again */
    if (!L.window || L.window > MAX_SLOTS || !L.clients || (!L.exchanges && !L.seconds_us)) exit(2);
}

int main(int count, char **words) {
    read_arguments(count, words);
    int buffer = 8 << 20;
    struct sockaddr_in relay = {.sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = L.giaddr};
    L.server.sin_family = AF_INET, L.server.sin_port = htons(67);
    L.taken = calloc(1, 1 << (ADDRESS_BITS - 3));
    L.socket = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(L.socket, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (!L.taken || L.socket < 0 || bind(L.socket, (struct sockaddr *)&relay, sizeof relay)) {
        perror("bind");
        return 1;
    }
    uint32_t salt = (uint32_t)now_us() & ~(uint32_t)(MAX_SLOTS - 1);
    for (int i = 0; i < MAX_SLOTS; i++) L.slots[i].xid = salt;
    uint64_t took = run();
    printf("{\"exchanges\": %lu, \"seconds\": %.6f, \"begun\": %u, \"repeats\": %lu, \"lost\": %lu, \"naks\": %lu, "
           "\"doubled\": %lu, \"late\": %lu",
           L.done, (double)took / 1e6, L.begun, L.repeats, L.lost, L.naks, L.doubled, L.late);
    print_times("offer", &L.offer);
    print_times("ack", &L.ack);
    print_times("exchange", &L.whole);
    printf("}\n");
    return 0;
}

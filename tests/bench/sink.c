/* SPDX-License-Identifier: MIT */
/*
 * An S3 that costs next to nothing:  sink PORT  (0: any; the first line of output names it)
 *
 * Answers what an uploader asks and drops what it sends, so that the benchmark measures uploaders
 * and not a server: the kernel throws the bytes of a body away without copying them here. Any key
 * exists in any bucket, nobody's signature is looked at, every page is welcome.
 *
 *   GET /-/reset    forget the counters and the sizes of objects
 *   GET /-/stats    {"OPTIONS": n, ..., "bytes": n, "connections": n}, since the reset
 *
 * What is not needed for that is not here: a request that is not understood ends its connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { HEAD_MAX = 32 * 1024, PIECE = 1 << 20, KEY_MAX = 1200, OBJECTS = 1 << 14 };

/* One connection: it reads a head, then drops a body, then answers. */
struct conn {
    int fd;
    bool body; /* the head is complete */
    uint64_t rest;
    size_t len;
    char head[HEAD_MAX + 1];
};

static const char *const methods[] = {"OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE"};
enum { METHODS = sizeof methods / sizeof *methods };

static struct {
    uint64_t requests[METHODS];
    uint64_t bytes;
    uint64_t connections;
} count;

/* What was put under a key: some uploaders ask at the end. */
static struct object {
    char key[KEY_MAX];
    uint64_t size;
} objects[OBJECTS];

static struct object *object_of(const char *key)
{
    uint64_t hash = 14695981039346656037u;
    for (const char *at = key; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211u;
    for (size_t i = 0; i < OBJECTS; i++) {
        struct object *object = &objects[(hash + i) % OBJECTS];
        if (!*object->key)
            snprintf(object->key, sizeof object->key, "%s", key);
        if (strcmp(object->key, key) == 0)
            return object;
    }
    fprintf(stderr, "sink: more than %d keys\n", OBJECTS);
    exit(1);
}

/* The value of a header, which ends at a line's end; "" when there is none. */
static const char *header(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':')
            return at + len + 1 + strspn(at + len + 1, " ");
    }
    return "";
}

static bool send_all(int fd, const char *text, size_t len)
{
    return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len; /* small enough for any buffer */
}

static bool answer(const struct conn *c, int status, const char *type, const char *body,
                   uint64_t length)
{
    char text[4096];
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %d Sink\r\n"
                       "access-control-allow-origin: *\r\n"
                       "access-control-expose-headers: *, etag, date, x-amz-request-id\r\n"
                       "etag: \"9a0364b9e99bb480dd25e1f0284c8555-1\"\r\n"
                       "content-type: %s\r\n"
                       "content-length: %llu\r\n\r\n%s",
                       status, type, (unsigned long long)length, body);
    return send_all(c->fd, text, (size_t)len);
}

static bool answer_xml(const struct conn *c, const char *xml)
{
    return answer(c, 200, "application/xml", xml, strlen(xml));
}

static bool answer_preflight(const struct conn *c)
{
    const char *wanted = header(c->head, "access-control-request-headers");
    char text[4096];
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 200 Sink\r\n"
                       "access-control-allow-origin: *\r\n"
                       "access-control-allow-methods: GET, HEAD, PUT, POST, DELETE\r\n"
                       "access-control-allow-headers: %.*s\r\n"
                       "access-control-max-age: 7200\r\n"
                       "content-length: 0\r\n\r\n",
                       (int)strcspn(wanted, "\r"), wanted);
    return len < (int)sizeof text && send_all(c->fd, text, (size_t)len);
}

static bool answer_stats(const struct conn *c)
{
    char text[1024];
    size_t len = 0;
    for (size_t i = 0; i < METHODS; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\"%s\": %llu", i ? ", " : "{",
                                methods[i], (unsigned long long)count.requests[i]);
    snprintf(text + len, sizeof text - len, ", \"bytes\": %llu, \"connections\": %llu}",
             (unsigned long long)count.bytes, (unsigned long long)count.connections);
    return answer(c, 200, "application/json", text, strlen(text));
}

/* As S3 does: with the checksum of the whole that was sent, or else nobody would believe it. */
static bool answer_complete(const struct conn *c)
{
    const char *sum = header(c->head, "x-amz-checksum-crc64nvme");
    char text[1024], stated[128] = "";
    if (*sum)
        snprintf(stated, sizeof stated,
                 "<ChecksumCRC64NVME>%.*s</ChecksumCRC64NVME>"
                 "<ChecksumType>FULL_OBJECT</ChecksumType>",
                 (int)strcspn(sum, "\r"), sum);
    snprintf(text, sizeof text,
             "<CompleteMultipartUploadResult><Location>http://sink/bench/key</Location>"
             "<Bucket>bench</Bucket><Key>key</Key>"
             "<ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555-1&quot;</ETag>%s"
             "</CompleteMultipartUploadResult>",
             stated);
    return answer_xml(c, text);
}

/* Whether the query has a parameter of this name. */
static bool asks(const char *query, const char *name)
{
    const char *at = strstr(query, name);
    return at && (at[-1] == '?' || at[-1] == '&') && strchr("=& ", at[strlen(name)]);
}

/* The whole request came: count it, and say what S3 would. */
static bool respond(struct conn *c, uint64_t length)
{
    char method[8];
    char key[KEY_MAX];
    char query[8192] = "";
    if (sscanf(c->head, "%7s %1199[^? ]%8191s", method, key, query) < 2)
        return false;
    if (strcmp(key, "/-/stats") == 0)
        return answer_stats(c);
    if (strcmp(key, "/-/reset") == 0) {
        memset(&count, 0, sizeof count);
        memset(objects, 0, sizeof objects);
        return answer_xml(c, "");
    }
    size_t which = 0;
    while (which < METHODS && strcmp(method, methods[which]) != 0)
        which++;
    if (which == METHODS)
        return false;
    count.requests[which]++;
    count.bytes += length;
    switch (*method) {
    case 'O': return answer_preflight(c);
    case 'H': return answer(c, 200, "application/octet-stream", "", object_of(key)->size);
    case 'D': return answer(c, 204, "application/xml", "", 0);
    case 'P':
        if (method[1] == 'U') {
            struct object *object = object_of(key);
            object->size = asks(query, "partNumber") ? object->size + length : length;
            return answer_xml(c, "");
        }
        if (asks(query, "uploads")) {
            object_of(key)->size = 0;
            return answer_xml(c, "<InitiateMultipartUploadResult><Bucket>bench</Bucket><Key>key"
                                 "</Key><UploadId>upload-id</UploadId>"
                                 "</InitiateMultipartUploadResult>");
        }
        return answer_complete(c);
    default:
        return answer_xml(c, "<ListPartsResult><IsTruncated>false</IsTruncated>"
                             "</ListPartsResult>");
    }
}

/* Take what came. False: the connection is over. */
static bool serve(struct conn *c)
{
    if (!c->body) {
        ssize_t got = recv(c->fd, c->head + c->len, HEAD_MAX - c->len, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        c->len += (size_t)got;
        c->head[c->len] = '\0';
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end)
            return c->len < HEAD_MAX;
        /* What lies behind the head is the body's: a client that waits for no answer between two
         * requests would be misunderstood, and none does. */
        size_t early = c->len - (size_t)(end + 4 - c->head);
        end[2] = '\0';
        c->rest = strtoull(header(c->head, "content-length"), NULL, 10);
        if (early > c->rest || *header(c->head, "transfer-encoding"))
            return false;
        c->len = early;
        c->body = true;
        if (!early && c->rest && strncasecmp(header(c->head, "expect"), "100", 3) == 0 &&
            !send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25))
            return false;
    }
    while (c->len < c->rest) {
        static char piece[PIECE]; /* MSG_TRUNC: nothing is written there */
        uint64_t rest = c->rest - c->len;
        ssize_t got = recv(c->fd, piece, rest < PIECE ? (size_t)rest : PIECE, MSG_TRUNC);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        c->len += (size_t)got;
    }
    bool alive = respond(c, c->rest);
    c->body = false;
    c->len = 0;
    return alive && strncasecmp(header(c->head, "connection"), "close", 5) != 0;
}

static int listen_at(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&at, &len)) {
        perror("sink");
        exit(1);
    }
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: sink PORT\n");
        return 2;
    }
    int door = listen_at(atoi(argv[1]));
    int poll = epoll_create1(0);
    struct epoll_event events[64] = {{.events = EPOLLIN, .data.ptr = NULL}};
    epoll_ctl(poll, EPOLL_CTL_ADD, door, events);
    for (;;) {
        int n = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c) {
                if (!serve(c)) {
                    close(c->fd);
                    free(c);
                }
                continue;
            }
            int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK);
            c = fd < 0 ? NULL : calloc(1, sizeof *c);
            if (!c)
                continue;
            count.connections++;
            c->fd = fd;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
            epoll_ctl(poll, EPOLL_CTL_ADD, fd,
                      &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
        }
    }
}

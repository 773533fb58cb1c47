/* SPDX-License-Identifier: MIT
 *
 * parthaul checksum: what S3 shows for an object that was made of this file. A file is read once,
 * in large pieces, and only running digests are kept, so its size does not matter.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "core/checksum.h"
#include "core/enc.h"
#include "core/str.h"

#define PIECE (1u << 20)

/* see cli.h */
void cli_checksum_help(void)
{
    cli_print(
        PH_STR("usage: parthaul checksum [OPTION]... FILE...\n"
               "\n"
               "Prints the checksum or ETag that S3 reports for each file, one per line:\n"
               "\n"
               "  VALUE  ALGORITHM/TYPE  FILE\n"
               "\n"
               "A FILE of - is standard input.\n"
               "\n"
               "  --algorithm NAME   crc64nvme (default), crc32c, crc32, sha256, sha1 or md5;\n"
               "                     the value is in base64\n"
               "  --part-size SIZE   the value of an object uploaded in parts of SIZE\n"
               "                     bytes (8388608, 8MiB, 8M): VALUE-COUNT if the algorithm\n"
               "                     supports composite checksums. CRC64NVME does not: its\n"
               "                     value is always that of the whole object\n"
               "  --etag             the ETag instead: the MD5 in hex, MD5-COUNT of the parts'\n"
               "                     MD5s with --part-size (not of objects that S3 encrypts\n"
               "                     with KMS)\n"
               "\n"
               "A file of one part gets -1 with --part-size, like a multipart upload of one\n"
               "part. (parthaul put sends such a file by PutObject: omit --part-size then.)\n"
               "\n"
               "As with sha256sum, a line starts with a backslash if the file name had to be\n"
               "escaped: \\\\ is a backslash, \\n a line feed, \\r a carriage return.\n"
               "\n"
               "Exit code 1: a file could not be read.\n"));
}

typedef struct settings {
    ph_alg alg;
    uint64_t part_size; /* 0: the file is not cut */
    bool etag;
} settings;

/* ---- One file -------------------------------------------------------------------------------- */

/* A running sum, of the whole or part by part. */
typedef struct sum {
    uint64_t part_size; /* 0 also where the algorithm has no composite value */
    ph_hash hash;
    ph_whole whole;
} sum;

static void sum_init(sum *s, const settings *set)
{
    /* S3's table does not list MD5, but its ETags are MD5s of MD5s. */
    bool composite = ph_alg_row(set->alg)->composite || set->alg == PH_ALG_MD5;
    s->part_size = composite ? set->part_size : 0;
    ph_hash_init(&s->hash, set->alg);
    ph_whole_init(&s->whole, set->alg, PH_TYPE_COMPOSITE);
}

static void end_part(sum *s)
{
    ph_digest d;
    ph_hash_digest(&s->hash, &d);
    ph_whole_add(&s->whole, &d, s->hash.length);
    ph_hash_init(&s->hash, s->hash.alg);
}

/* A part ends when a byte of the next one comes; the last one, even an empty one, in add_sum. */
static int sum_update(sum *s, const char *data, size_t len)
{
    while (len > 0) {
        size_t n = len;
        if (s->part_size) {
            if (s->hash.length == s->part_size)
                end_part(s);
            if (s->whole.parts == PH_PART_MAX_COUNT)
                return PH_ERR_FILE_TOO_BIG;
            uint64_t room = s->part_size - s->hash.length;
            n = room < n ? (size_t)room : n;
        }
        ph_hash_update(&s->hash, data, n);
        data += n;
        len -= n;
    }
    return PH_OK;
}

static void add_value(ph_buf *b, const settings *set, const ph_digest *d)
{
    if (set->etag)
        ph_enc_hex(b, d->bytes, d->len);
    else
        ph_digest_base64(b, d);
}

/* VALUE  ALGORITHM/TYPE */
static void add_sum(ph_buf *b, const settings *set, sum *s)
{
    ph_digest d;
    ph_checksum_type type = PH_TYPE_FULL_OBJECT;
    if (s->part_size) {
        type = PH_TYPE_COMPOSITE;
        end_part(s);
        ph_whole_digest(&s->whole, &d);
        add_value(b, set, &d);
        ph_buf_char(b, '-');
        ph_buf_u64(b, s->whole.parts);
    } else {
        ph_hash_digest(&s->hash, &d);
        add_value(b, set, &d);
    }
    ph_buf_cstr(b, "  ");
    ph_buf_cstr(b, ph_alg_name(set->alg));
    ph_buf_char(b, '/');
    ph_buf_cstr(b, set->etag ? "ETAG" : ph_checksum_type_name(type));
}

static void add_name(ph_buf *b, const char *name)
{
    for (; *name; name++) {
        if (*name == '\\' || *name == '\n' || *name == '\r') {
            ph_buf_char(b, '\\');
            ph_buf_char(b, *name == '\n' ? 'n' : *name == '\r' ? 'r' : '\\');
        } else {
            ph_buf_char(b, *name);
        }
    }
}

static void print_line(const settings *set, sum *s, const char *name)
{
    ph_buf b;
    ph_buf_init(&b, 1u << 20);
    if (strpbrk(name, "\\\n\r"))
        ph_buf_char(&b, '\\');
    add_sum(&b, set, s);
    ph_buf_cstr(&b, "  ");
    add_name(&b, name);
    ph_buf_char(&b, '\n');
    cli_print(ph_buf_view(&b));
    ph_buf_clear(&b);
}

/* False when it cannot be read to its end; why was said. */
static bool sum_file(const settings *set, const char *name, char *piece, sum *s)
{
    bool is_stdin = strcmp(name, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : 0;
    int err = PH_OK;
    sum_init(s, set);
    while (fd >= 0 && err == PH_OK) {
        n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        err = sum_update(s, piece, (size_t)n);
    }
    if (n < 0)
        cli_say("%s: %s", name, strerror(errno));
    else if (err != PH_OK)
        cli_say("%s: %s", name, ph_err_text(err));
    if (fd >= 0 && !is_stdin)
        close(fd);
    return n >= 0 && err == PH_OK;
}

/* ---- The command ----------------------------------------------------------------------------- */

static bool read_options(int argc, char **argv, settings *out, int *code)
{
    static const struct option table[] = {{"algorithm", required_argument, NULL, 'a'},
                                          {"part-size", required_argument, NULL, 'p'},
                                          {"etag", no_argument, NULL, 'e'},
                                          CLI_HELP_OPTION};
    bool chosen = false;
    *out = (settings){.alg = PH_ALG_CRC64NVME};
    *code = CLI_USAGE;
    for (int c; (c = cli_option(argc, argv, ":h", table)) != -1;) {
        if (c == 'a') {
            out->alg = ph_alg_by_name(ph_str_from(optarg));
            chosen = true;
            if (out->alg == PH_ALG_NONE) {
                cli_usage(argv[0], "unknown algorithm %s", optarg);
                return false;
            }
        } else if (c == 'p') {
            if (!cli_size(optarg, &out->part_size) || out->part_size == 0) {
                cli_usage(argv[0], "%s is not a size", optarg);
                return false;
            }
        } else if (c == 'e') {
            out->etag = true;
        } else {
            if (c == 'h') {
                cli_checksum_help();
                *code = CLI_DONE;
            }
            return false;
        }
    }
    if (out->etag && chosen && out->alg != PH_ALG_MD5) {
        cli_usage(argv[0], "--etag is always MD5: it cannot be combined with --algorithm");
        return false;
    }
    if (out->etag)
        out->alg = PH_ALG_MD5;
    return true;
}

/* see cli.h */
int cli_checksum(int argc, char **argv)
{
    settings set;
    int code;
    if (!read_options(argc, argv, &set, &code))
        return code;
    if (optind == argc)
        return cli_usage(argv[0], "expected a file");
    char *piece = malloc(PIECE);
    if (!piece) {
        cli_say("%s", ph_err_text(PH_ERR_NOMEM));
        return CLI_OTHER;
    }
    code = CLI_DONE;
    for (int i = optind; i < argc; i++) {
        sum s;
        if (sum_file(&set, argv[i], piece, &s))
            print_line(&set, &s, argv[i]);
        else
            code = CLI_OTHER;
    }
    free(piece);
    return code;
}

/* What sealing costs: CPU seconds for 10^9 bytes, each packet sealed once and opened once.
 *
 *     seal_cost [MEGABYTES [BYTES]]
 *
 * MEGABYTES: how much in a round (default 64); BYTES: of a packet (default: several sizes).
 *
 * Beside tt_crypto_seal and tt_crypto_open stands a bare loop of libcrypto's own calls, with the
 * least that they can do: contexts that keep their key, a nonce, 8 bytes of associated data, a tag.
 * That is the yardstick: no sealed session can be cheaper than it. Rounds take turns, and of each
 * the fastest counts, so that what else the machine does falls out. For a packet size that was
 * asked for it is their mean, to be compared with the mean of a session at the same time.
 *
 * Prints a line a packet size: bytes, seconds of the bare loop, seconds of ours, their ratio. Exit
 * status: 0, 1 something went wrong, 2 bad usage.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include <turbotunnel/error.h>

#include "core/seal/crypto.h"
#include "require.h"

#define ROUNDS     9u
#define LARGEST    65000u
#define HEADER_LEN 8u

static const uint8_t key[TT_KEY_LEN] = "a key that nobody has, 32 bytes.";
static const uint8_t header[HEADER_LEN] = {3};

struct bench {
    struct tt_crypto *crypto;
    EVP_CIPHER_CTX *seal, *open;
    uint8_t packet[LARGEST + TT_TAG_LEN];
};

static void bare_begin(struct bench *b)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    b->seal = EVP_CIPHER_CTX_new();
    b->open = EVP_CIPHER_CTX_new();
    require(cipher && b->seal && b->open &&
                EVP_EncryptInit_ex2(b->seal, cipher, key, NULL, NULL) == 1 &&
                EVP_DecryptInit_ex2(b->open, cipher, key, NULL, NULL) == 1,
            "libcrypto has no ChaCha20-Poly1305");
    EVP_CIPHER_free(cipher);
}

static void bare(struct bench *b, size_t len, uint64_t number)
{
    uint8_t nonce[12] = {0};
    uint8_t *tag = b->packet + len;
    int n;
    memcpy(nonce + 4, &number, sizeof(number));
    require(EVP_EncryptInit_ex2(b->seal, NULL, NULL, nonce, NULL) == 1 &&
                EVP_EncryptUpdate(b->seal, NULL, &n, header, HEADER_LEN) == 1 &&
                EVP_EncryptUpdate(b->seal, b->packet, &n, b->packet, (int)len) == 1 &&
                EVP_EncryptFinal_ex(b->seal, tag, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(b->seal, EVP_CTRL_AEAD_GET_TAG, TT_TAG_LEN, tag) == 1,
            "it does not seal");
    require(EVP_DecryptInit_ex2(b->open, NULL, NULL, nonce, NULL) == 1 &&
                EVP_DecryptUpdate(b->open, NULL, &n, header, HEADER_LEN) == 1 &&
                EVP_DecryptUpdate(b->open, b->packet, &n, b->packet, (int)len) == 1 &&
                EVP_CIPHER_CTX_ctrl(b->open, EVP_CTRL_AEAD_SET_TAG, TT_TAG_LEN, tag) == 1 &&
                EVP_DecryptFinal_ex(b->open, tag, &n) == 1,
            "it does not open");
}

static void ours(struct bench *b, size_t len, uint64_t number)
{
    const struct tt_span ad = tt_span_of(header, HEADER_LEN);
    require(tt_crypto_seal(b->crypto, key, number, ad, b->packet, len) == TT_OK, "tt_crypto_seal");
    require(tt_crypto_open(b->crypto, key, number, ad, b->packet, len + TT_TAG_LEN) == TT_OK,
            "tt_crypto_open");
}

static double cpu_s(void)
{
    struct timespec t;
    require(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0, "clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU seconds for 10^9 bytes. */
static double round_s(struct bench *b, void (*packet)(struct bench *, size_t, uint64_t), size_t len,
                      uint64_t packets)
{
    const double began = cpu_s();
    for (uint64_t i = 0; i < packets; i++)
        packet(b, len, i);
    return (cpu_s() - began) * 1e9 / ((double)packets * (double)len);
}

struct times {
    double fastest_s, sum_s;
};

static void add(struct times *t, double seconds)
{
    t->sum_s += seconds;
    if (t->fastest_s == 0 || seconds < t->fastest_s)
        t->fastest_s = seconds;
}

static void measure(struct bench *b, size_t len, uint64_t round_bytes, bool wants_mean)
{
    const uint64_t packets = round_bytes / len + 1;
    struct times bare_times = {0};
    struct times our_times = {0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        add(&bare_times, round_s(b, bare, len, packets));
        add(&our_times, round_s(b, ours, len, packets));
    }
    const double bare_s = wants_mean ? bare_times.sum_s / ROUNDS : bare_times.fastest_s;
    const double ours_s = wants_mean ? our_times.sum_s / ROUNDS : our_times.fastest_s;
    printf("%zu %.3f %.3f %.3f\n", len, bare_s, ours_s, ours_s / bare_s);
}

static unsigned long parse(const char *text, unsigned long most)
{
    char *end;
    const unsigned long number = strtoul(text, &end, 10);
    return *text == '-' || *end || number > most ? 0 : number;
}

static int measure_all(size_t packet_bytes, uint64_t round_bytes)
{
    static const size_t sizes[] = {1400, 4096, 16384, LARGEST};
    static struct bench b;
    require(tt_crypto_new(&b.crypto) == TT_OK, "tt_crypto_new");
    bare_begin(&b);
    for (size_t i = 0; !packet_bytes && i < sizeof(sizes) / sizeof(sizes[0]); i++)
        measure(&b, sizes[i], round_bytes, false);
    if (packet_bytes)
        measure(&b, packet_bytes, round_bytes, true);
    EVP_CIPHER_CTX_free(b.seal);
    EVP_CIPHER_CTX_free(b.open);
    tt_crypto_free(b.crypto);
    return 0;
}

int main(int argc, char **argv)
{
    const unsigned long megabytes = argc > 1 ? parse(argv[1], 100000) : 64;
    const unsigned long bytes = argc > 2 ? parse(argv[2], LARGEST) : 0;
    if (argc > 3 || megabytes == 0 || (argc > 2 && bytes == 0)) {
        fprintf(stderr, "usage: seal_cost [MEGABYTES [BYTES]]\n");
        return 2;
    }
    return measure_all(bytes, megabytes * 1000000);
}

/* A PKCS#11 module that stands before another: it counts every call by its function, and makes each one take longer.
 *
 * REAL, the module behind it, and COUNTS, the file that it counts in, are given when it is built (benchmarks/shim/__init__.py),
 * so that whoever loads it needs no environment. The file is mapped and shared: any process reads it, and sets the delay, at any
 * time. Functions are those of PKCS#11 2.40. Every argument of theirs is an integer or a pointer of one machine word, so that
 * they are told apart by how many they take. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long word;

#define GENERAL_ERROR 5UL

/* In the order of CK_FUNCTION_LIST, each with the number of its arguments. */
#define FUNCTIONS(F) \
    F(C_Initialize, 1) F(C_Finalize, 1) F(C_GetInfo, 1) F(C_GetFunctionList, 1) F(C_GetSlotList, 3) \
    F(C_GetSlotInfo, 2) F(C_GetTokenInfo, 2) F(C_GetMechanismList, 3) F(C_GetMechanismInfo, 3) F(C_InitToken, 4) \
    F(C_InitPIN, 3) F(C_SetPIN, 5) F(C_OpenSession, 5) F(C_CloseSession, 1) F(C_CloseAllSessions, 1) \
    F(C_GetSessionInfo, 2) F(C_GetOperationState, 3) F(C_SetOperationState, 5) F(C_Login, 4) F(C_Logout, 1) \
    F(C_CreateObject, 4) F(C_CopyObject, 5) F(C_DestroyObject, 2) F(C_GetObjectSize, 3) F(C_GetAttributeValue, 4) \
    F(C_SetAttributeValue, 4) F(C_FindObjectsInit, 3) F(C_FindObjects, 4) F(C_FindObjectsFinal, 1) \
    F(C_EncryptInit, 3) F(C_Encrypt, 5) F(C_EncryptUpdate, 5) F(C_EncryptFinal, 3) F(C_DecryptInit, 3) \
    F(C_Decrypt, 5) F(C_DecryptUpdate, 5) F(C_DecryptFinal, 3) F(C_DigestInit, 2) F(C_Digest, 5) \
    F(C_DigestUpdate, 3) F(C_DigestKey, 2) F(C_DigestFinal, 3) F(C_SignInit, 3) F(C_Sign, 5) F(C_SignUpdate, 3) \
    F(C_SignFinal, 3) F(C_SignRecoverInit, 3) F(C_SignRecover, 5) F(C_VerifyInit, 3) F(C_Verify, 5) \
    F(C_VerifyUpdate, 3) F(C_VerifyFinal, 3) F(C_VerifyRecoverInit, 3) F(C_VerifyRecover, 5) \
    F(C_DigestEncryptUpdate, 5) F(C_DecryptDigestUpdate, 5) F(C_SignEncryptUpdate, 5) F(C_DecryptVerifyUpdate, 5) \
    F(C_GenerateKey, 5) F(C_GenerateKeyPair, 8) F(C_WrapKey, 6) F(C_UnwrapKey, 8) F(C_DeriveKey, 6) \
    F(C_SeedRandom, 3) F(C_GenerateRandom, 3) F(C_GetFunctionStatus, 1) F(C_CancelFunction, 1) F(C_WaitForSlotEvent, 3)

#define PLACE(name, arity) place_##name,
enum { FUNCTIONS(PLACE) FUNCTION_COUNT };

/* What the file holds: the delay of every call, then a row for each function. */
struct row { char name[24]; uint64_t calls; };
struct counts { uint64_t delay_us; struct row rows[FUNCTION_COUNT]; };

typedef word (*function)(word, word, word, word, word, word, word, word);
struct function_list { unsigned char version[2]; void *functions[FUNCTION_COUNT]; };

static struct counts *counts;
static struct function_list *real;

static void *enter(int place)
{
    __atomic_fetch_add(&counts->rows[place].calls, 1, __ATOMIC_RELAXED);
    uint64_t delay_us = __atomic_load_n(&counts->delay_us, __ATOMIC_RELAXED);
    if (delay_us) {
        struct timespec left = {delay_us / 1000000, delay_us % 1000000 * 1000};
        while (nanosleep(&left, &left)) { }
    }
    return real->functions[place];
}

#define PARAMETERS_1 word a
#define PARAMETERS_2 PARAMETERS_1, word b
#define PARAMETERS_3 PARAMETERS_2, word c
#define PARAMETERS_4 PARAMETERS_3, word d
#define PARAMETERS_5 PARAMETERS_4, word e
#define PARAMETERS_6 PARAMETERS_5, word f
#define PARAMETERS_8 PARAMETERS_6, word g, word h
#define PASSED_1 a
#define PASSED_2 PASSED_1, b
#define PASSED_3 PASSED_2, c
#define PASSED_4 PASSED_3, d
#define PASSED_5 PASSED_4, e
#define PASSED_6 PASSED_5, f
#define PASSED_8 PASSED_6, g, h

#define FORWARD(name, arity) \
    static word through_##name(PARAMETERS_##arity) \
    { \
        return ((word (*)(PARAMETERS_##arity))enter(place_##name))(PASSED_##arity); \
    }
FUNCTIONS(FORWARD)

__attribute__((visibility("default"))) word C_GetFunctionList(struct function_list **list);

#define ENTRY(name, arity) through_##name,
static struct function_list ours = {{2, 40}, {FUNCTIONS(ENTRY)}};

static int find_real(void)
{
    void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    word (*get)(struct function_list **) = library ? (word (*)(struct function_list **))dlsym(library, "C_GetFunctionList") : NULL;
    return get && !get(&real) && real;
}

static int map_counts(void)
{
    int file = open(COUNTS, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return 0;
    void *mapped = ftruncate(file, sizeof *counts)
        ? MAP_FAILED : mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED)
        return 0;
    counts = mapped;
#define NAME(function, arity) strncpy(counts->rows[place_##function].name, #function, sizeof counts->rows[0].name - 1);
    FUNCTIONS(NAME)
    return 1;
}

word C_GetFunctionList(struct function_list **list)
{
    if (!counts && !(find_real() && map_counts()))
        return GENERAL_ERROR;
    ours.functions[place_C_GetFunctionList] = C_GetFunctionList;
    *list = &ours;
    return 0;
}

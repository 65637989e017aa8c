/* A name whose address changes: public when it is looked up first, this machine from then on.
 * Loaded before the C library, it is the resolver of the program under test. The file that REBOUND_LOOKUPS names gets a byte
 * for each time the name is looked up. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *count = getenv("REBOUND_LOOKUPS");
    if (name && count && strcmp(name, "rebound.test") == 0) {
        FILE *file = fopen(count, "a");
        if (!file)
            return EAI_FAIL;
        fseek(file, 0, SEEK_END);
        name = ftell(file) == 0 ? "203.0.114.1" : "127.0.0.1";
        fputc('.', file);
        fclose(file);
    }
    return real(name, service, hints, found);
}

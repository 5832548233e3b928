// How jemalloc, which takes the place of malloc, is set up: docs/decisions/memory.md. Read by it
// before main().
#include <jemalloc/jemalloc.h>

// One arena, as all but one thread allocate little; what a burst has needed goes back after a
// second.
extern "C" {
const char* malloc_conf = "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_max:4096";
}

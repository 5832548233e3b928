// The settings of jemalloc, which replaces malloc. It reads them before main(). Reasons:
// docs/decisions/memory.md.
#include <jemalloc/jemalloc.h>

// One arena, because all threads except one allocate little. Memory that a burst has used returns
// to the system after a second, by a thread of jemalloc, even if nothing is allocated until the
// next run.
extern "C" {
const char* malloc_conf =
    "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_max:4096,"
    "background_thread:true,max_background_threads:1";
}

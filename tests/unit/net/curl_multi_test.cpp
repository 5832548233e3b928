// What happens if no memory is left while libcurl calls back. Its frames cannot be unwound: it
// would refuse all further calls.
#include "probes/net/curl_multi.hpp"

#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>

#include "unit/support/http_script.hpp"
#include "unit/support/io_faults.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/memory.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <curl/curl.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

namespace {

thread_local bool inside_libcurl = false;
thread_local std::size_t allocations_left = 0;  // until one fails; 0: none fails

class Inside {
 public:
  Inside() : before_(inside_libcurl) { inside_libcurl = true; }
  ~Inside() { inside_libcurl = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  bool before_;
};

template <class Function>
Function* libcurl(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// These definitions replace those of libcurl in the test program.
extern "C" {
CURLMcode curl_multi_add_handle(CURLM* multi, CURL* easy) {
  static auto* const original = libcurl<CURLMcode(CURLM*, CURL*)>("curl_multi_add_handle");
  const Inside inside;
  return original(multi, easy);
}
CURLMcode curl_multi_remove_handle(CURLM* multi, CURL* easy) {
  static auto* const original = libcurl<CURLMcode(CURLM*, CURL*)>("curl_multi_remove_handle");
  const Inside inside;
  return original(multi, easy);
}
CURLMcode curl_multi_socket_action(CURLM* multi, curl_socket_t socket, int events, int* running) {
  static auto* const original =
      libcurl<CURLMcode(CURLM*, curl_socket_t, int, int*)>("curl_multi_socket_action");
  const Inside inside;
  return original(multi, socket, events, running);
}
}

// The sanitizers have an allocator of their own.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
void* operator new(std::size_t size) {
  if (inside_libcurl && allocations_left > 0 && --allocations_left == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace vitalsd::net {
namespace {

asio::awaitable<std::string> get(HttpClient& client, const std::string& url) {
  SampleSet out;
  HttpRequest request;
  request.url = *config::Scalar<config::Url>::parse(url);
  request.reuse_connection = true;
  const HttpResponse response = co_await client.perform(request, out);
  co_return response.body;
}

// Each allocation of a request that is made while libcurl is on the stack fails once.
TEST(CurlMultiTest, SurvivesAnAllocationThatFailsInACallback) {
  if (test::kIsSanitized) GTEST_SKIP() << "the sanitizers have an allocator of their own";
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  const test::HttpScript server(loop, [](const std::string&) {
    return test::HttpScript::Reply{test::http_answer(200, "hello")};
  });
  std::size_t failed = 0;
  for (std::size_t n = 1;; ++n) {
    allocations_left = n;
    std::string outcome;
    try {
      outcome = test::Task(loop, get(services.http, server.url())).get();
    } catch (const std::bad_alloc&) {
      outcome = "no memory";
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::internal) << error.what();
      outcome = "no memory";
    }
    const bool none_failed = std::exchange(allocations_left, 0) > 0;
    if (none_failed) {
      EXPECT_EQ(outcome, "hello");
      break;
    }
    ++failed;
    EXPECT_EQ(test::Task(loop, get(services.http, server.url())).get(), "hello") << n;
  }
  EXPECT_GE(failed, 3U);
}

}  // namespace
}  // namespace vitalsd::net

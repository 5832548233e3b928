// Measures the cost of a request without a daemon, at the daemon's rate. Pauses between requests
// let CPU caches go cold, which a tight loop would hide. Prints the CPU microseconds per request.
//
//   bench_floor curl URL PER_SECOND SECONDS [CA_FILE]     libcurl, a new connection per request
//   bench_floor sockets ADDRESS PORT PER_SECOND SECONDS   connect, send, receive, close
//   bench_floor connect ADDRESS PORT PER_SECOND SECONDS   connect, close
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

double cpu_us() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

int measure(double per_second, double seconds, const std::function<bool()>& request) {
  const std::chrono::duration<double> pause(1 / per_second);
  for (int i = 0; i < 3; ++i) {
    if (!request()) return 1;
  }
  const double before = cpu_us();
  const int count = static_cast<int>(per_second * seconds);
  for (int i = 0; i < count; ++i) {
    if (!request()) return 1;
    std::this_thread::sleep_for(pause);
  }
  std::printf("%.1f\n", (cpu_us() - before) / count);
  return 0;
}

std::size_t discard(char* /*data*/, std::size_t size, std::size_t count, void* /*unused*/) {
  return size * count;
}

int with_curl(const char* url, double per_second, double seconds, const char* ca) {
  curl_global_init(CURL_GLOBAL_ALL);
  CURL* const easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &discard);
  // Debian also sets a directory of CAs. With a directory, libcurl does not cache the CA store,
  // which costs 29 ms per request.
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  if (ca != nullptr) curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
  return measure(per_second, seconds, [easy] {
    const CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK) std::fprintf(stderr, "%s\n", curl_easy_strerror(code));
    return code == CURLE_OK;
  });
}

int with_sockets(const char* address, int port, double per_second, double seconds, bool ask) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, address, &to.sin_addr);
  const std::string request = "GET / HTTP/1.1\r\nHost: " + std::string(address) + "\r\n\r\n";
  return measure(per_second, seconds, [&] {
    std::array<char, 4096> answer{};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool well = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                      (!ask || (send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0 &&
                                recv(fd, answer.data(), answer.size(), 0) > 0));
    if (!well) std::perror("sockets");
    close(fd);
    return well;
  });
}

}  // namespace

int main(int count, char** arguments) {
  const auto number = [&](int i) { return std::strtod(arguments[i], nullptr); };
  const std::string_view how = count > 1 ? arguments[1] : "";
  if (how == "curl" && count >= 5) {
    return with_curl(arguments[2], number(3), number(4), count > 5 ? arguments[5] : nullptr);
  }
  const bool ask = how == "sockets";
  if ((ask || how == "connect") && count == 6) {
    return with_sockets(arguments[2], static_cast<int>(number(3)), number(4), number(5), ask);
  }
  std::fprintf(stderr, "bench_floor curl|sockets|connect ...: see the head of floor.cpp\n");
  return 2;
}

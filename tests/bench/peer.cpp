// The target of the benchmarks: one small process that responds to thousands of HTTP and TCP probes
// on loopback and records when each target was probed, so the schedule is measured at the target.
//
//   bench_peer HTTP_PORT TCP_PORT HUNG_PORT
//
// Every address in 127.0.0.0/8 is a separate target. Connections to HUNG_PORT are accepted but get
// no response. SIGUSR1 clears the recorded arrivals. SIGTERM prints a line of JSON with the
// deviation of the time between two probes of a target from INTERVAL_MS (an environment variable).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace {

double now_ms() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

// Deviations of the time between arrivals from the interval, for one protocol.
struct Rhythm {
  explicit Rhythm(double interval) : interval_ms(interval) {}

  void arrived(std::uint32_t target) {
    const double now = now_ms();
    double& last = last_arrival[target];
    if (last != 0) deviations.push_back(std::fabs(now - last - interval_ms));
    last = now;
    ++count;
  }
  void forget() {
    deviations.clear();
    last_arrival.clear();
    count = 0;
  }
  void print(const char* name) {
    std::ranges::sort(deviations);
    const auto at = [&](double share) {
      return deviations.empty() ? 0.0
                                : deviations[static_cast<std::size_t>(
                                      share * static_cast<double>(deviations.size() - 1))];
    };
    std::printf(
        "\"%s\": {\"arrivals\": %zu, \"targets\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
        "\"max_ms\": %.3f}",
        name, count, last_arrival.size(), at(0.5), at(0.99), at(1.0));
  }

  double interval_ms;
  std::size_t count = 0;
  std::unordered_map<std::uint32_t, double> last_arrival;
  std::vector<double> deviations;
};

int listen_on(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 4096) != 0) {
    std::perror("bench_peer: listen");
    std::exit(1);
  }
  return fd;
}

std::uint32_t target_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohl(address.sin_addr.s_addr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: bench_peer HTTP_PORT TCP_PORT HUNG_PORT\n", stderr);
    return 2;
  }
  const char* interval = std::getenv("INTERVAL_MS");
  const double interval_ms = interval == nullptr ? 10'000 : std::atof(interval);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, nullptr);

  const int http = listen_on(std::atoi(argv[1]));
  const int tcp = listen_on(std::atoi(argv[2]));
  const int hung = listen_on(std::atoi(argv[3]));
  const int signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.fd = fd;
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  };
  for (const int fd : {http, tcp, hung, signal_fd}) watch(fd);

  Rhythm http_rhythm(interval_ms);
  Rhythm tcp_rhythm(interval_ms);
  constexpr std::string_view kAnswer =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n"
      "Connection: close\r\n\r\n{\"status\":\"ok\"}";
  std::vector<char> is_http(limit.rlim_cur, 0);
  std::array<epoll_event, 256> events{};
  std::array<char, 4096> buffer{};
  for (;;) {
    const int ready = epoll_wait(poller, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == signal_fd) {
        signalfd_siginfo info{};
        if (read(signal_fd, &info, sizeof info) != sizeof info) continue;
        if (info.ssi_signo == SIGUSR1) {
          http_rhythm.forget();
          tcp_rhythm.forget();
          continue;
        }
        std::printf("{");
        http_rhythm.print("http");
        std::printf(", ");
        tcp_rhythm.print("tcp");
        std::printf("}\n");
        return 0;
      }
      if (fd == http || fd == tcp || fd == hung) {
        int client = 0;
        while ((client = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          if (fd == http) http_rhythm.arrived(target_of(client));
          if (fd == tcp) tcp_rhythm.arrived(target_of(client));
          is_http[static_cast<std::size_t>(client)] = fd == http ? 1 : 0;
          watch(client);
        }
        continue;
      }
      const ssize_t size = read(fd, buffer.data(), buffer.size());
      if (size > 0 && is_http[static_cast<std::size_t>(fd)] != 0) {
        if (write(fd, kAnswer.data(), kAnswer.size()) < 0) continue;
        close(fd);
      } else if (size <= 0) {
        close(fd);
      }
    }
  }
}

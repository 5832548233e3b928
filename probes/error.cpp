#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vitalsd {

std::string error_text(const boost::system::error_code& error) {
  // Asio's text for the end of a stream, "End of file", is misleading.
  if (error == boost::asio::error::eof) return "the connection was closed";
  return error.message();
}

namespace {

constexpr std::array kShortages = {EMFILE, ENFILE, ENOMEM, ENOBUFS};

// Whether no local port is free. EADDRNOTAVAIL also means that the machine has no address to
// connect from, for example if IPv6 is disabled. That is permanent, and the target is then
// unreachable.
bool out_of_ports() {
  const int another = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (another < 0) return false;
  sockaddr_in any{};
  any.sin_family = AF_INET;
  const bool bound = bind(another, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
  const bool out = !bound && errno == EADDRINUSE;
  close(another);
  return out;
}

}  // namespace

bool is_local_shortage(int error) {
  if (error == EADDRNOTAVAIL) return out_of_ports();
  return std::ranges::find(kShortages, error) != kShortages.end();
}

bool mentions_local_shortage(std::string_view text) {
  const auto tells = [&](int error) {
    return text.contains(std::generic_category().message(error));
  };
  return std::ranges::any_of(kShortages, tells) || (tells(EADDRNOTAVAIL) && out_of_ports());
}

bool out_of_descriptors() {
  const int another = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (another >= 0) close(another);
  return another < 0 && (errno == EMFILE || errno == ENFILE);
}

void fail_with(Reason reason, const std::string& what, const boost::system::error_code& error) {
  if (error == boost::asio::error::operation_aborted) throw boost::system::system_error(error);
  if (error.category() == boost::system::system_category() && is_local_shortage(error.value())) {
    reason = Reason::internal;
  }
  throw ProbeError(reason, what + ": " + error_text(error));
}

}  // namespace vitalsd

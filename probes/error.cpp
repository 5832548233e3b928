#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <fcntl.h>
#include <unistd.h>

namespace vitalsd {

std::string error_text(const boost::system::error_code& error) {
  // Asio's own words for the end of a stream, "End of file", mislead.
  if (error == boost::asio::error::eof) return "the connection was closed";
  return error.message();
}

bool is_our_shortage(int error) {
  constexpr std::array kShortages = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRNOTAVAIL};
  return std::ranges::find(kShortages, error) != kShortages.end();
}

bool out_of_descriptors() {
  const int another = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (another >= 0) close(another);
  return another < 0 && (errno == EMFILE || errno == ENFILE);
}

void fail_with(Reason reason, const std::string& what, const boost::system::error_code& error) {
  if (error == boost::asio::error::operation_aborted) throw boost::system::system_error(error);
  if (error.category() == boost::system::system_category() && is_our_shortage(error.value())) {
    reason = Reason::internal;
  }
  throw ProbeError(reason, what + ": " + error_text(error));
}

}  // namespace vitalsd

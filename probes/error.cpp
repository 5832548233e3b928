#include "probes/error.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd {

std::string error_text(const boost::system::error_code& error) {
  // Asio's own words for the end of a stream, "End of file", mislead.
  if (error == boost::asio::error::eof) return "the connection was closed";
  return error.message();
}

void fail_with(Reason reason, const std::string& what, const boost::system::error_code& error) {
  if (error == boost::asio::error::operation_aborted) throw boost::system::system_error(error);
  throw ProbeError(reason, what + ": " + error_text(error));
}

}  // namespace vitalsd

// How a probe says that it could not observe, and how errors of the libraries become a Reason.
#pragma once

#include "exporter/model/outcome.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

#include <boost/system/error_code.hpp>

namespace vitalsd {

/// Could not observe. The text is for logs and the status page: it says what was tried and what
/// came back, and never holds a secret.
class ProbeError : public std::runtime_error {
 public:
  ProbeError(Reason reason, const std::string& detail)
      : std::runtime_error(detail), reason_(reason) {}
  [[nodiscard]] Reason reason() const { return reason_; }

 private:
  Reason reason_;
};

/// Whether an error of the system is for want of something of ours (descriptors, memory, local
/// ports): it says nothing of the target.
bool is_our_shortage(int error);

/// The same of a library's text that has the system's words for the error in it.
bool tells_our_shortage(std::string_view text);

/// Whether no more files can be opened now: what libraries have then taken for the target's fault.
bool out_of_descriptors();

/// Throws ProbeError(reason, "what: text of the error"), with Reason::internal for a shortage of
/// ours, except for operation_aborted: that is our
/// own cancellation, not the target's doing, and is thrown as it is.
[[noreturn]] void fail_with(Reason reason, const std::string& what,
                            const boost::system::error_code& error);

/// The text of an error as people know it ("Connection refused").
std::string error_text(const boost::system::error_code& error);

}  // namespace vitalsd

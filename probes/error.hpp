// The exception of a probe that could not observe its target, and the translation of system errors
// to reasons.
#pragma once

#include "exporter/model/outcome.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

#include <boost/system/error_code.hpp>

namespace vitalsd {

/// The target could not be observed. The text is for logs and the status page: what the probe did,
/// and what failed. It never contains a secret.
class ProbeError : public std::runtime_error {
 public:
  ProbeError(Reason reason, const std::string& detail)
      : std::runtime_error(detail), reason_(reason) {}
  [[nodiscard]] Reason reason() const { return reason_; }

 private:
  Reason reason_;
};

/// Whether a system error is due to a lack of local resources (descriptors, memory, local ports),
/// so that it carries no information about the target.
bool is_local_shortage(int error);

/// The same for the text of a library, which contains the system's error message.
bool mentions_local_shortage(std::string_view text);

/// Whether no file descriptor is left. Libraries report this as a failure of the target.
bool out_of_descriptors();

/// Throws ProbeError(reason, "what: text of the error"), with Reason::internal if local resources
/// are missing. operation_aborted is the cancellation of the run and is thrown unchanged.
[[noreturn]] void fail_with(Reason reason, const std::string& what,
                            const boost::system::error_code& error);

/// The usual text of an error ("Connection refused").
std::string error_text(const boost::system::error_code& error);

}  // namespace vitalsd

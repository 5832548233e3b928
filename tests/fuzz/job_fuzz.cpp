// Requests of jobs and saved notes: the path, the query and the body of a request, and a history.
#include "probes/job/history.hpp"
#include "probes/job/ping.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  job::History history(0);
  history.restore(text);
  // Each line is a request: PATH?QUERY.
  double now = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t query = std::min(line.find('?'), line.size());
    const auto ping =
        job::parse_ping(line.substr(0, query), line.substr(std::min(query + 1, line.size())));
    if (ping) history.record(*ping, "", ++now, [](const PushAnswer&) {});
  }
  // What is saved is restored.
  const std::string saved = history.serialize();
  job::History other(1);
  other.restore(saved);
  if (other.last_success().has_value() != history.last_success().has_value()) std::abort();
  if (other.running_since().has_value() != history.running_since().has_value()) std::abort();
  if (job::message_text(text).size() > 10'010) std::abort();
  return 0;
}

// Responses of RabbitMQ: the page of the Prometheus plug-in, whose result must not depend on the
// chunks, and the JSON of the management API.
#include "probes/error.hpp"
#include "probes/rabbitmq/management.hpp"
#include "probes/rabbitmq/node_page.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

using namespace vitalsd;

namespace {

std::optional<rabbitmq::NodePage> read_page(std::string_view text, std::size_t piece) {
  try {
    rabbitmq::NodePageReader reader;
    for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
      reader.feed(text.substr(0, piece));
    }
    return reader.finish();
  } catch (const ProbeError&) {  // the error for an invalid page
    return std::nullopt;
  }
}

template <class Read>
void read_json(const Read& read, std::string_view text) {
  try {
    read(text);
  } catch (const ProbeError&) {  // the error for an invalid response
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = read_page(text, size);
  const auto pieces = read_page(text, size % 7 + 1);
  if (whole.has_value() != pieces.has_value()) std::abort();
  if (whole) {
    const auto same = [](const rabbitmq::Queue& a, const rabbitmq::Queue& b) {
      return a.vhost == b.vhost && a.name == b.name && a.ready == b.ready &&
             a.unacked == b.unacked && a.messages == b.messages && a.consumers == b.consumers;
    };
    if (whole->node.empty() || !std::ranges::equal(whole->queues, pieces->queues, same))
      std::abort();
  }
  read_json([](std::string_view body) { (void)rabbitmq::read_user(body).granting_command(); },
            text);
  read_json(rabbitmq::read_nodes, text);
  read_json(rabbitmq::read_alarms, text);
  read_json(rabbitmq::read_overview, text);
  read_json(rabbitmq::read_vhosts, text);
  read_json(rabbitmq::read_queues, text);
  (void)rabbitmq::read_reason(text);
  return 0;
}

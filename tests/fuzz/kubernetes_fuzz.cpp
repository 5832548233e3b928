// Lists, watches and errors of the API server in chunks of any size, and their objects.
#include "probes/error.hpp"
#include "probes/kubernetes/objects/node_object.hpp"
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/net/kubernetes/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace vitalsd;
using net::kubernetes::Format;

namespace {

void read_objects(std::string_view bytes) {
  try {
    kubernetes::read_pod(bytes, kubernetes::PodDetail::all);
    kubernetes::read_node(bytes);
  } catch (const ProbeError&) {  // the error for an invalid message
  }
}

template <class Feed>
void in_pieces(std::string_view text, std::size_t piece, const Feed& feed) {
  try {
    for (std::size_t at = 0; at < text.size(); at += piece) feed(text.substr(at, piece));
  } catch (const ProbeError&) {  // as above
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.empty()) return 0;
  const std::size_t piece = data[0] + std::size_t{1};
  text.remove_prefix(1);
  read_objects(text);
  net::kubernetes::read_status(500, text);
  for (const Format format : {Format::protobuf, Format::json}) {
    net::kubernetes::ListReader list(format, read_objects);
    in_pieces(text, piece, [&](std::string_view bytes) { list.feed(bytes); });
    in_pieces(" ", 1, [&](std::string_view) { list.finish(); });
    net::kubernetes::WatchReader watch(
        format, [](const net::kubernetes::Event& event) { read_objects(event.object); });
    in_pieces(text, piece, [&](std::string_view bytes) { watch.feed(bytes); });
  }
  return 0;
}

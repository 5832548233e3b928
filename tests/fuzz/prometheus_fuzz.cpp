// Responses of Prometheus's HTTP API, and its page /metrics, in pieces. The first byte is the size
// of a piece.
#include "probes/error.hpp"
#include "probes/prometheus/answers.hpp"
#include "probes/prometheus/own_metrics.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

using namespace vitalsd;

namespace {

template <class Sink>
void feed(Sink& sink, std::string_view text, std::size_t piece) {
  for (std::size_t at = 0; at < text.size(); at += piece) sink.feed(text.substr(at, piece));
}

template <class Content>
void read(Content& content, std::string_view text, std::size_t piece) {
  prometheus::ApiReader reader(content);
  feed(reader, text, piece);
  reader.finish(200);
}

// An error is a valid result.
template <class Call>
void attempt(const Call& call) {
  try {
    call();
  } catch (const ProbeError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::max<std::size_t>(data[0], 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  attempt([&] {
    prometheus::Targets targets;
    read(targets, text, piece);
    (void)targets.down().text();
  });
  attempt([&] {
    prometheus::Rules rules;
    read(rules, text, piece);
    (void)rules.failing().text();
  });
  attempt([&] {
    prometheus::Alertmanagers alertmanagers;
    read(alertmanagers, text, piece);
  });
  attempt([&] {
    prometheus::QueryResult result;
    read(result, text, piece);
    (void)result.value();
  });
  attempt([&] {
    prometheus::OwnMetrics page;
    feed(page, text, piece);
    page.finish();
  });
  (void)prometheus::api_error(400, text);
  return 0;
}

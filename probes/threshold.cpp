#include "probes/threshold.hpp"

#include "config/scalar.hpp"

#include <chrono>

namespace vitalsd {

std::optional<double> read_threshold(config::Node& node, std::string_view key, Unit unit,
                                     std::string_view help) {
  switch (unit) {
    case Unit::ratio:
      if (const auto ratio = node.find<config::Ratio>(key, help)) return ratio->value;
      return std::nullopt;
    case Unit::seconds:
      if (const auto time = node.find<config::Duration>(key, help)) {
        return std::chrono::duration<double>(*time).count();
      }
      return std::nullopt;
    case Unit::bytes:
      if (const auto size = node.find<config::Bytes>(key, help))
        return static_cast<double>(size->value);
      return std::nullopt;
    case Unit::none:
      break;
  }
  return node.find<double>(key, help);
}

}  // namespace vitalsd

// Splits PEM text into blocks, without decoding them. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::net {

struct PemBlock {
  std::string_view name;    ///< "CERTIFICATE"
  std::size_t line = 0;     ///< the number of its first line, from 1
  std::string_view text{};  ///< from its first line to its last one; empty if `problem` is not
  std::string problem{};    ///< "no line -----END CERTIFICATE-----"; empty if it has both lines
};

/// Returns the blocks in their order. A line with wrong dashes or spaces around `BEGIN NAME` or
/// `END NAME` makes a block with a problem. Other text between blocks is skipped.
std::vector<PemBlock> split_pem(std::string_view text);

}  // namespace vitalsd::net

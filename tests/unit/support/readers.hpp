// Helpers for readers: of a text that arrives in pieces, and of the options of a configuration.
#pragma once

#include "config/node.hpp"
#include "config/problems.hpp"
#include "config/yaml.hpp"
#include "probes/error.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

namespace vitalsd::test {

/// Passes the text to `reader` in pieces of this size and returns the result.
template <class Reader>
auto read_in_pieces(Reader&& reader, std::string_view text,
                    std::size_t piece = std::string_view::npos) {
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    reader.feed(text.substr(0, piece));
  }
  return reader.finish();
}

/// Calls `read` and returns the text of the ProbeError(protocol) that it throws; empty if it throws
/// nothing.
template <class Read>
std::string protocol_error_of(const Read& read) {
  try {
    read();
  } catch (const ProbeError& error) {
    EXPECT_EQ(error.reason(), Reason::protocol);
    return error.what();
  }
  return "";
}

/// The options that `Options::read` reads from the text, and the problems of the text.
template <class Options>
std::pair<Options, std::string> read_options(std::string_view yaml) {
  config::Problems problems("f");
  config::Value tree = config::parse_yaml(yaml, problems);
  config::Node node(tree, "", problems);
  Options options = Options::read(node);
  node.finish();
  return {std::move(options), problems.text()};
}

}  // namespace vitalsd::test

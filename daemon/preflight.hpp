// Warns of what a valid configuration cannot use where it runs: secrets, certificates and
// directories that are missing or unreadable, variables that are unset or not expanded, no probes.
// The options say by their type what a value refers to, so a new option needs no code here.
#pragma once

#include "config/problems.hpp"
#include "config/secret.hpp"
#include "config/settings.hpp"
#include "probes/probe.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd {

class Preflight {
 public:
  /// Collects what the document, which has no errors, refers to, except for disabled probes. No
  /// I/O. Any thread.
  Preflight(const config::Document& document, const Environment& environment);

  /// Looks at all of it and returns the warnings. A file system that hangs delays the result by
  /// a second for each directory. Probe loop only.
  static asio::awaitable<config::Problems> run(Preflight preflight, const Environment& environment);

 private:
  /// A value that refers to something outside of the configuration.
  struct Reference {
    std::string_view type;  ///< of the option
    config::Mark mark;
    std::string path;  ///< of the option
    std::string text;
    config::Secret secret;
    /// The file or the directory, empty if it is a variable.
    [[nodiscard]] std::string file() const;
  };

  void collect(const config::Value& value, const std::string& path,
               const std::vector<config::Option>& options);
  void collect(const config::Value& value, std::string path, std::string_view pattern,
               std::string_view type);
  void add(const config::Value& value, std::string path, std::string_view type);

  [[nodiscard]] const Reference* certificate_of(const Reference& key) const;
  static asio::awaitable<std::string> fault(Reference reference, const Environment& environment);

  config::Problems problems_;
  std::vector<Reference> references_;
};

}  // namespace vitalsd

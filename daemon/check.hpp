// `vitalsd check`: runs probes once, in parallel, and prints a verdict for each.
#pragma once

#include "exporter/web/filter.hpp"

#include <string>

namespace vitalsd {

struct CheckOptions {
  enum class Format : unsigned char { text, json, nagios, markdown };

  std::string config_file;
  ProbeFilter filter{};  ///< by name, kind and label: what runs; by state: what is printed
  Format format = Format::text;
  bool by_name = false;  ///< prints the probes by name, not the most severe verdict first
  bool quiet = false;    ///< prints nothing
};

/// Runs the selected probes of the file once, prints the result and ends the process with the
/// verdict on them as its exit code, as Nagios plugins do. Returns only if nothing runs, with the
/// exit code for that: the configuration is invalid, or the filter selects no probe.
int run_check(const CheckOptions& options);

}  // namespace vitalsd

// `vitalsd check`: prints a verdict for each probe. Runs the probes once, in parallel, or asks a
// running daemon.
#pragma once

#include "exporter/web/filter.hpp"

#include <string>

namespace vitalsd {

struct CheckOptions {
  enum class Format : unsigned char { text, json, nagios, markdown };

  std::string config_file;
  std::string status_url{};  ///< of the daemon to ask; empty: run the probes
  std::string ca{};          ///< PEM file of trusted CAs for `status_url`
  ProbeFilter filter{};      ///< by name, kind and label: what runs; by state: what is printed
  Format format = Format::text;
  bool by_name = false;  ///< prints the probes by name, not the most severe verdict first
  bool quiet = false;    ///< prints nothing
};

/// Runs the selected probes of the file once, prints the result and ends the process with the
/// verdict on them as its exit code, as Nagios plugins do. Returns only if nothing runs, with the
/// exit code for that: the configuration is invalid, or the filter selects no probe.
int run_check(const CheckOptions& options);

/// Prints what the daemon at `status_url` knows about the selected probes. Returns the exit code:
/// the verdict on them, or unknown if there is no answer.
int show_status(const CheckOptions& options);

}  // namespace vitalsd

// Writes log lines to standard error in logfmt or JSON: one event per line, a fixed message and
// fields. Callers log changes only: a probe that fails repeatedly for the same reason is logged
// once. Any thread.
#pragma once

#include "config/settings.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace vitalsd::log {

/// Sets the format and the level. May be called again, after a reload.
void configure(const config::LogSettings& settings);

struct Field {
  std::string_view name;
  std::string value;
};
using Fields = std::initializer_list<Field>;

void debug(std::string_view message, Fields fields = {});
void info(std::string_view message, Fields fields = {});
void warn(std::string_view message, Fields fields = {});
void error(std::string_view message, Fields fields = {});

/// Formats one line, without a newline. `timestamp` is in RFC 3339.
std::string format_line(config::LogFormat format, std::string_view timestamp,
                        std::string_view level, std::string_view message, Fields fields);

}  // namespace vitalsd::log

#include "daemon/log.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace vitalsd::log {
namespace {

std::atomic<config::LogFormat> current_format = config::LogFormat::logfmt;

spdlog::logger& logger() {
  static const auto instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto result = std::make_shared<spdlog::logger>("vitalsd", std::move(sink));
    result->set_pattern("%v");
    result->flush_on(spdlog::level::debug);
    return result;
  }();
  return *instance;
}

std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()) % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms.count());
}

// Quotes and escapes the value only if that is necessary.
void append_logfmt(std::string& out, std::string_view value) {
  const bool is_plain = !value.empty() && std::ranges::all_of(value, [](char c) {
    return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
  });
  if (is_plain) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::string json_string(std::string_view text) {
  return boost::json::serialize(boost::json::string(text));
}

void write(spdlog::level::level_enum level, std::string_view name, std::string_view message,
           Fields fields) {
  if (!logger().should_log(level)) return;
  logger().log(level, spdlog::string_view_t{[&]() -> const std::string& {
                 thread_local std::string line;
                 line = format_line(current_format, timestamp(), name, message, fields);
                 return line;
               }()});
}

}  // namespace

std::string format_line(config::LogFormat format, std::string_view timestamp,
                        std::string_view level, std::string_view message, Fields fields) {
  std::string out;
  const auto field = [&](std::string_view name, std::string_view raw) {
    const std::string value = printable_utf8(raw);
    if (format == config::LogFormat::json) {
      out += out.empty() ? '{' : ',';
      out += json_string(name) + ':' + json_string(value);
    } else {
      if (!out.empty()) out += ' ';
      out += name;
      out += '=';
      append_logfmt(out, value);
    }
  };
  field("ts", timestamp);
  field("level", level);
  field("msg", message);
  for (const Field& item : fields) field(item.name, item.value);
  if (format == config::LogFormat::json) out += '}';
  return out;
}

void configure(const config::LogSettings& settings) {
  current_format = settings.format;
  switch (settings.level) {
    case config::LogLevel::debug:
      logger().set_level(spdlog::level::debug);
      break;
    case config::LogLevel::info:
      logger().set_level(spdlog::level::info);
      break;
    case config::LogLevel::warn:
      logger().set_level(spdlog::level::warn);
      break;
    case config::LogLevel::error:
      logger().set_level(spdlog::level::err);
      break;
  }
}

void debug(std::string_view message, Fields fields) {
  write(spdlog::level::debug, "debug", message, fields);
}
void info(std::string_view message, Fields fields) {
  write(spdlog::level::info, "info", message, fields);
}
void warn(std::string_view message, Fields fields) {
  write(spdlog::level::warn, "warn", message, fields);
}
void error(std::string_view message, Fields fields) {
  write(spdlog::level::err, "error", message, fields);
}

}  // namespace vitalsd::log

// The text of the exposition formats: escapes, numbers, header lines. Sample lines are the same
// bytes in both formats; only the header lines differ. Pure functions, standard library only.
#pragma once

#include "exporter/model/metric.hpp"

#include <span>
#include <string>
#include <string_view>

namespace vitalsd {

enum class Format : unsigned char {
  text,         ///< text/plain; version=0.0.4
  openmetrics,  ///< application/openmetrics-text; version=1.0.0
};

/// Appends `value` in the form of both formats: integers without exponent, other numbers as the
/// shortest text that parses to the same value, and +Inf, -Inf, NaN.
void append_number(std::string& out, double value);

/// Appends a label value without its quotes: backslash, quote and newline escaped.
void append_label_value(std::string& out, std::string_view value);

/// Appends `name="value"`, with a comma in front unless `out` is empty or ends in '{'.
void append_label(std::string& out, std::string_view name, std::string_view value);

/// `text` with invalid UTF-8 and NUL replaced by U+FFFD. Prometheus rejects the whole scrape for
/// one invalid byte in one label.
std::string printable_utf8(std::string_view text);

/// Whether printable_utf8() would return `text` itself.
bool is_printable_utf8(std::string_view text);

/// `text` as one line of UTF-8 that is safe for a terminal: without control characters (C0 and C1)
/// and without characters that change the direction of writing. Text beyond `max_size` bytes
/// becomes "…".
std::string shown_text(std::string_view text, std::size_t max_size);

/// The same for several lines: newlines and tabs are kept.
std::string shown_lines(std::string_view text, std::size_t max_size);

/// The name of a family in OpenMetrics: a counter or an info loses its suffix _total or _info, if
/// it has one.
std::string_view openmetrics_base(std::string_view name, std::string_view type);

/// Appends the HELP, TYPE and, for OpenMetrics, UNIT lines of a family. `type` ("histogram")
/// replaces the type of `metric` if it is not empty.
void append_header(std::string& out, const MetricInfo& metric, std::string_view type,
                   Format format);

/// The last line of a page: "# EOF" for OpenMetrics, otherwise empty.
std::string_view end_of_page(Format format);

/// The Content-Type of a page.
std::string_view content_type(Format format);

}  // namespace vitalsd

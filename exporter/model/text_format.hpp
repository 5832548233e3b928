// Text of the exposition formats: escapes, numbers, the lines of a family. Sample lines are the
// same bytes in both formats; only the header lines differ. Pure functions, standard library only.
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

/// Appends `value` as both formats read it: integers without exponent, else the shortest text that
/// reads back the same; +Inf, -Inf, NaN.
void append_number(std::string& out, double value);

/// Appends a label value without its quotes: backslash, quote and newline escaped.
void append_label_value(std::string& out, std::string_view value);

/// Appends `name="value"` behind a comma where `out` does not end in '{' or is empty.
void append_label(std::string& out, std::string_view name, std::string_view value);

/// `text` as Prometheus accepts it: invalid UTF-8 replaced by U+FFFD (one bad byte in one label
/// would cost the whole scrape), and NUL too.
std::string printable_utf8(std::string_view text);

/// UTF-8 for people's terminals, on one line: also without control characters, C1 included, and
/// without marks that change the direction of writing; "…" in place of what is beyond `max_size`
/// bytes.
std::string shown_text(std::string_view text, std::size_t max_size);

/// Appends the HELP, TYPE and, for OpenMetrics, UNIT lines of a family. `type` overrides the
/// metric's own ("histogram"); empty: it does not.
void append_header(std::string& out, const MetricInfo& metric, std::string_view type,
                   Format format);

/// The line that ends a page: "# EOF" for OpenMetrics, else nothing.
std::string_view end_of_page(Format format);

/// The Content-Type that goes with a page.
std::string_view content_type(Format format);

}  // namespace vitalsd

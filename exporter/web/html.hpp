// What the HTML pages share: the frame, escaping, times. Pure functions.
#pragma once

#include "exporter/web/overview.hpp"
#include "exporter/web/verdict.hpp"
#include "exporter/web/view.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace vitalsd {

/// `text` with &, <, > and quotes escaped for HTML.
std::string escape_html(std::string_view text);

/// "5 s", "3 min", "7 h", "4 d".
std::string age(std::chrono::system_clock::duration duration);
/// "90 s", "2 min": a configured duration in the largest unit that divides it.
std::string exact(std::chrono::milliseconds duration);
/// "12.5 ms", "3.0 s".
std::string duration_text(double seconds);

/// `text`, which is HTML, with the time that it refers to as its title.
std::string timed(ProbeView::Time time, const std::string& text);
/// "5 s ago", with the time as its title.
std::string ago(ProbeView::Time then, ProbeView::Time now);

/// The symbol of the verdict in its color, and a space.
std::string marked(Verdict verdict);
/// The name of the verdict in its color.
std::string named(Verdict verdict);

/// The last runs (ProbeView::history).
std::string history(std::uint64_t bits);

struct PageHead {
  std::string title;        ///< of the window, escaped
  Verdict verdict;          ///< shown by the icon
  std::string_view root{};  ///< the relative path of the status page: "" or "../"
};
/// The start of a page, up to the body.
std::string page_start(const PageHead& head);
/// The end of a page.
inline constexpr std::string_view kPageEnd = "</body></html>\n";

/// The notices about the process.
std::string notices_html(const Overview& overview);

/// The query string of the filter, escaped: "?state=ok&amp;q=x"; empty for a filter without parts.
std::string query_of(const ProbeFilter& filter);

/// A search field, and links to the verdicts. Both keep the other parts of the filter. `hidden` is
/// what the filter does not show ("3 probes"); `self` is the relative path of the page.
std::string filter_form(const ProbeFilter& filter, const std::string& hidden,
                        std::string_view self);

}  // namespace vitalsd

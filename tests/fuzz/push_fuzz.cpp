// The requests of a Pushgateway: paths and bodies. What is accepted is published completely, and a
// refused push changes nothing.
#include "probes/job/group_key.hpp"
#include "probes/job/groups.hpp"
#include "probes/page/page_reader.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

namespace {

// Up to `delimiter`, which is removed from `text`, too.
std::string_view take(std::string_view& text, std::string_view delimiter) {
  const std::string_view piece = text.substr(0, text.find(delimiter));
  text.remove_prefix(std::min(piece.size() + delimiter.size(), text.size()));
  return piece;
}

std::string path_of(const job::GroupLabels& labels) {
  std::string path;
  for (const auto& [name, value] : labels) {
    ((path += '/') += name) += '/';
    for (const unsigned char c : value) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      ((path += '%') += kDigits[c >> 4U]) += kDigits[c & 15U];
    }
  }
  return path;
}

std::size_t lines_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

void check_page(job::Groups groups, ForeignFamilies& families) {
  const std::string page = groups.page();
  if (page.size() > job::Groups::kMaxBytes) std::abort();
  // A run publishes all lines that are not comments.
  const job::Groups::Rendered& rendered = groups.render(R"(probe="p")");
  if (rendered.dropped.total() > 0) std::abort();
  std::size_t published = 0;
  if (rendered.families) {
    for (const FragmentFamily& family : *rendered.families) published += lines_of(family.lines);
  }
  std::size_t samples = 0;
  for (std::string_view rest = page; !rest.empty();)
    samples += take(rest, "\n").starts_with('#') ? 0 : 1;
  if (published != samples) std::abort();
  const page::Rules rules;
  page::PageReader reader(rules, families, R"(probe="p")", false, nullptr);
  reader.feed(page);
  reader.finish();
  if (reader.first_dropped() || reader.first_misfit() || reader.has_timestamps()) std::abort();
}

}  // namespace

// A line "METHOD PATH", then the body; requests are separated by a line "--".
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr int kMaxRequests = 16;  // each reads the bodies of all groups again
  std::string_view text(reinterpret_cast<const char*>(data), size);
  ForeignFamilies families;
  families.declare("pg_up", Type::gauge);
  families.declare("h_count", Type::counter);
  job::Groups groups("p");
  for (int now = 1; now <= kMaxRequests && !text.empty(); ++now) {
    std::string_view body = take(text, "--\n");
    std::string_view path = take(body, "\n");
    const std::string_view method = take(path, " ");
    const auto labels = job::parse_group(path);
    if (!labels) continue;
    if (!std::ranges::is_sorted(*labels)) std::abort();
    if (job::parse_group(path_of(*labels)) != *labels) std::abort();
    if (method == "DELETE") {
      groups.remove(*labels);
      continue;
    }
    const std::string before = groups.page();
    const job::Groups copy = groups;
    const auto replace =
        method == "PUT" ? job::Groups::Replace::group : job::Groups::Replace::families;
    if (!groups.push(*labels, body, replace, families, now)) {
      if (groups.page() != before) std::abort();
      groups.refused(*labels, now);
    }
    if (copy.page() != before) std::abort();
    check_page(groups, families);
  }
  // What is saved is restored.
  job::Groups other("p");
  other.restore(groups.to_json());
  if (other.page() != groups.page()) std::abort();
  groups.expire(kMaxRequests + 2, 1);
  if (groups.size() > 0) std::abort();
  return 0;
}

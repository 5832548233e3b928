#include "config/problems.hpp"

#include "config/characters.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <tuple>
#include <utility>

namespace vitalsd::config {

void Problems::add(Count& count, Problem problem) {
  if (++count.count <= kMaxKept) {
    list_.push_back(std::move(problem));
    return;
  }
  const std::size_t more = count.count - kMaxKept;
  if (more == 1) {
    count.rest = list_.size();
    list_.push_back({problem.severity, {}, "", ""});
  }
  const std::string_view what = problem.severity == Severity::error ? "error" : "warning";
  list_[count.rest].message = std::to_string(more) + " more " + std::string(what) +
                              (more == 1 ? " is" : "s are") + " not shown";
}

std::string Problems::line(const Problem& problem) const {
  std::string out = file_;
  if (problem.mark.line > 0) {
    out += ':' + std::to_string(problem.mark.line) + ':' + std::to_string(problem.mark.column);
  }
  out += ": ";
  if (problem.severity == Severity::warning) out += "warning: ";
  if (!problem.path.empty()) out += escape_controls(without_credentials(problem.path)) + ": ";
  return out + escape_controls(problem.message);
}

std::string Problems::text() const {
  std::vector<const Problem*> sorted;
  sorted.reserve(list_.size());
  for (const Problem& problem : list_) sorted.push_back(&problem);
  // The problem that counts the rest comes last. std::sort is not stable, so problems at the same
  // place are compared by address.
  const auto is_rest = [&](const Problem* p) {
    const auto index = static_cast<std::size_t>(p - list_.data());
    return (errors_.count > kMaxKept && index == errors_.rest) ||
           (warnings_.count > kMaxKept && index == warnings_.rest);
  };
  std::ranges::sort(sorted, {},
                    [&](const Problem* p) { return std::tuple(is_rest(p), p->mark, p); });
  std::string out;
  for (const Problem* problem : sorted) out += line(*problem) + '\n';
  return out;
}

std::string escape_controls(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out;
}

std::string without_credentials(std::string_view text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string_view::npos) return std::string(text);
  const std::string_view before = text.substr(0, at);
  std::size_t keep = 0;
  if (const std::size_t scheme = before.find("://"); scheme != std::string_view::npos) {
    keep = scheme + 3;
  } else if (!before.contains(':') || text.contains(' ')) {
    return std::string(text);
  }
  return std::string(text.substr(0, keep)) + "***" + std::string(text.substr(at));
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kMaxBytes = 80;
  const std::string shown = without_credentials(text);
  if (shown.size() <= kMaxBytes) return "'" + escape_controls(shown) + "'";
  std::size_t end = kMaxBytes;
  while (end > 0 && is_utf8_continuation(shown[end])) --end;  // not in the middle of a character
  return "'" + escape_controls(std::string_view(shown).substr(0, end)) + "…'";
}

namespace {

// Edit distance in which two swapped neighbours count as one edit (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  constexpr std::size_t kMaxWord = 64;  // longer than any key
  if (word.size() > kMaxWord) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t d = distance(word, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  const std::string_view near = nearest(word, candidates);
  return near.empty() ? std::string() : " (did you mean '" + std::string(near) + "'?)";
}

}  // namespace vitalsd::config

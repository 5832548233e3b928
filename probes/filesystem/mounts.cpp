#include "probes/filesystem/mounts.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <sstream>
#include <utility>

namespace vitalsd {
namespace {

// "\040" and its like: the kernel writes blanks and backslashes as three octal digits.
std::string unescape(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) &&
                        octal(text[i + 2]) && octal(text[i + 3]);
    if (!escape) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

bool has_word(std::string_view list, std::string_view word) {
  const std::vector<std::string_view> words = split(list, ',');
  return std::ranges::find(words, word) != words.end();
}

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  // 36 35 98:0 /root /mountpoint options optional-fields... - fstype source super-options
  constexpr std::size_t kMountpoint = 4, kOptions = 5, kFewest = 6;
  std::vector<Mount> mounts;
  for (const std::string_view line : split(text, '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    const auto dash = std::ranges::find(words, "-");
    if (dash - words.begin() < static_cast<std::ptrdiff_t>(kFewest) || words.end() - dash < 3)
      continue;
    Mount mount{
        unescape(words[kMountpoint]), unescape(dash[2]), std::string(dash[1]),
        has_word(words[kOptions], "ro") || (words.end() - dash > 3 && has_word(dash[3], "ro"))};
    std::erase_if(mounts, [&](const Mount& other) { return other.mountpoint == mount.mountpoint; });
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::vector<Mount> read_mount_table() {
  std::ifstream in("/proc/self/mountinfo");
  std::ostringstream text;
  text << in.rdbuf();
  if (!in || text.view().empty())
    throw ProbeError(Reason::internal, "cannot read /proc/self/mountinfo");
  return parse_mountinfo(text.view());
}

bool has_no_free_space(std::string_view fstype) {
  constexpr std::array<std::string_view, 26> kTypes = {
      "autofs",   "binfmt_misc", "bpf",      "cgroup", "cgroup2",    "configfs",   "debugfs",
      "devpts",   "devtmpfs",    "efivarfs", "erofs",  "fusectl",    "hugetlbfs",  "iso9660",
      "mqueue",   "nsfs",        "proc",     "pstore", "rpc_pipefs", "securityfs", "selinuxfs",
      "squashfs", "sysfs",       "tracefs",  "udf",    "fuse.lxcfs",
  };
  return std::ranges::find(kTypes, fstype) != kTypes.end();
}

bool mounts_when_looked_at(std::string_view fstype) { return fstype == "autofs"; }

}  // namespace vitalsd

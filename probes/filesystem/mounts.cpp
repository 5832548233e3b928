#include "probes/filesystem/mounts.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace vitalsd {
namespace {

// The kernel writes blanks and backslashes as three octal digits ("\040").
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

struct Row {
  std::string_view id;
  std::string_view parent;  // ID of the mount that contains the mount point
  Mount mount;
};

// The mounts that cannot be reached by path, because another mount covers a parent directory.
class HiddenMounts {
 public:
  explicit HiddenMounts(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
      by_id_[row.id] = &row;
      mountpoints_.emplace(row.parent, row.mount.mountpoint);
    }
  }

  [[nodiscard]] bool contains(const Row& row) const {
    const Row* mount = &row;
    for (std::size_t depth = 0; depth < by_id_.size(); ++depth) {  // the parents may form a cycle
      if (is_covered(*mount)) return true;
      const auto parent = by_id_.find(mount->parent);
      if (parent == by_id_.end()) return false;
      mount = parent->second;
    }
    return false;
  }

 private:
  // Whether another mount with the same parent covers a directory of the path. A mount that was
  // made later inside the covering mount has the covering mount as its parent.
  [[nodiscard]] bool is_covered(const Row& row) const {
    std::string_view path = row.mount.mountpoint;
    while (path.size() > 1) {
      const std::size_t slash = path.rfind('/');
      if (slash == std::string_view::npos) return false;
      path = path.substr(0, std::max<std::size_t>(slash, 1));
      if (mountpoints_.contains({row.parent, path})) return true;
    }
    return false;
  }

  std::map<std::string_view, const Row*> by_id_;
  std::set<std::pair<std::string_view, std::string_view>> mountpoints_;
};

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  // 36 35 98:0 /root /mountpoint options optional-fields... - fstype source super-options
  constexpr std::size_t kMountpoint = 4, kOptions = 5, kMinFields = 6;
  std::vector<Row> rows;
  for (const std::string_view line : split(text, '\n')) {
    const std::vector<std::string_view> words = split(line, ' ');
    const auto dash = std::ranges::find(words, "-");
    if (dash - words.begin() < static_cast<std::ptrdiff_t>(kMinFields) || words.end() - dash < 3)
      continue;
    rows.push_back(
        {words[0],
         words[1],
         {unescape(words[kMountpoint]), unescape(dash[2]), std::string(dash[1]),
          has_word(words[kOptions], "ro") || (words.end() - dash > 3 && has_word(dash[3], "ro"))}});
  }
  // The path of a hidden mount leads to another file system, so statvfs would return the numbers of
  // that one.
  const HiddenMounts hidden(rows);
  std::vector<Mount> mounts;
  for (const Row& row : rows) {
    if (hidden.contains(row)) continue;
    std::erase_if(mounts,
                  [&](const Mount& other) { return other.mountpoint == row.mount.mountpoint; });
    mounts.push_back(row.mount);
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

bool mounts_on_access(std::string_view fstype) { return fstype == "autofs"; }

}  // namespace vitalsd

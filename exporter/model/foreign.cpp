#include "exporter/model/foreign.hpp"

#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

// The suffixes that a type adds to the name of its family in the names of samples, and "_created",
// which OpenMetrics reserves. A counter or an info reserves its own name only: if another family
// has a name that OpenMetrics reserves for it, the page shows it as unknown.
std::span<const std::string_view> suffixes(Type type) {
  static constexpr std::array<std::string_view, 5> kHistogram = {"", "_bucket", "_count", "_sum",
                                                                 "_created"};
  static constexpr std::array<std::string_view, 4> kSummary = {"", "_count", "_sum", "_created"};
  static constexpr std::array<std::string_view, 1> kSingle = {""};
  switch (type) {
    case Type::histogram:
      return kHistogram;
    case Type::summary:
      return kSummary;
    default:
      return kSingle;
  }
}

struct Hash : std::hash<std::string_view> {
  using is_transparent = void;  // NOLINT(*-identifier-naming)
};

}  // namespace

struct ForeignFamilies::Family final : MetricInfo {
  Family(std::string_view with_name, const ForeignDeclaration& declaration)
      : name_text(with_name),
        help_text(printable_utf8(declaration.help)),
        unit_text(printable_utf8(declaration.unit)) {
    name = name_text;
    help = help_text;
    foreign_unit = unit_text;
    type = declaration.type;
  }
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  ~Family() = default;

  std::string name_text;
  std::string help_text;
  std::string unit_text;
};

struct ForeignFamilies::State {
  // The owner of a sample name: a declared family, or the foreign family that `family` refers to.
  struct Owner {
    std::string base;  // name of the family
    Type type = Type::unknown;
    bool declared = false;
    const Family* address = nullptr;
    std::weak_ptr<const Family> family;
  };
  using Owners = std::unordered_map<std::string, Owner, Hash, std::equal_to<>>;

  const Owner* find(std::string_view name) const {
    for (const Owners* owners : {&declared, &foreign}) {
      const auto it = owners->find(name);
      if (it != owners->end() && (it->second.declared || !it->second.family.expired()))
        return &it->second;
    }
    return nullptr;
  }

  void remove(const Family& family) {
    const std::lock_guard lock(mutex);
    --families;
    for (const std::string_view suffix : suffixes(family.type)) {
      const auto it = foreign.find(family.name_text + std::string(suffix));
      // The name may belong to a newer family, which was interned after the last reference to this
      // one was dropped.
      if (it != foreign.end() && it->second.address == &family) foreign.erase(it);
    }
  }

  std::mutex mutex;
  Owners declared;
  Owners foreign;
  std::size_t families = 0;
};

ForeignFamilies::ForeignFamilies() : state_(std::make_shared<State>()) {}

void ForeignFamilies::declare(std::string_view name, Type type) {
  const std::lock_guard lock(state_->mutex);
  for (const std::string_view suffix : suffixes(type)) {
    state_->declared.try_emplace(std::string(name) + std::string(suffix),
                                 State::Owner{std::string(name), type, true, nullptr, {}});
  }
}

bool ForeignFamilies::is_declared(std::string_view name) const {
  const std::lock_guard lock(state_->mutex);
  return state_->declared.contains(name);
}

std::size_t ForeignFamilies::size() const {
  const std::lock_guard lock(state_->mutex);
  return state_->families;
}

std::expected<MetricRef, ForeignFamilies::Clash> ForeignFamilies::intern(
    const ForeignDeclaration& declaration) {
  const std::string name = exported_name(declaration.name);
  std::shared_ptr<const Family> family;  // released after the mutex, which its deleter locks, too
  const std::lock_guard lock(state_->mutex);
  if (const auto it = state_->foreign.find(name); it != state_->foreign.end()) {
    family = it->second.family.lock();
    if (family && family->name == name) {
      if (family->type != declaration.type) {
        return std::unexpected(state_->declared.contains(name) ? Clash::declared : Clash::type);
      }
      return MetricRef(family);
    }
  }
  for (const std::string_view suffix : suffixes(declaration.type)) {
    const State::Owner* const owner = state_->find(name + std::string(suffix));
    if (owner == nullptr || (owner->base == name && owner->type == declaration.type)) continue;
    if (owner->declared) return std::unexpected(Clash::declared);
    return std::unexpected(Clash::name);
  }
  const auto destroy = [state = state_](const Family* family) {
    state->remove(*family);
    delete family;
  };
  family = std::shared_ptr<const Family>(new Family(name, declaration), destroy);
  ++state_->families;
  for (const std::string_view suffix : suffixes(declaration.type)) {
    state_->foreign.insert_or_assign(
        name + std::string(suffix),
        State::Owner{name, declaration.type, false, family.get(), family});
  }
  return MetricRef(family);
}

bool is_reserved_name(std::string_view name) {
  // Alerting rules read these series as facts about the probe in the label `probe`.
  static constexpr std::array<std::string_view, 11> kNames = {"up",
                                                              "relay_up",
                                                              "probe_success",
                                                              "probe_duration_seconds",
                                                              "job_backup_info",
                                                              "job_last_duration_seconds",
                                                              "job_last_exit_code",
                                                              "job_last_failure_timestamp_seconds",
                                                              "job_last_start_timestamp_seconds",
                                                              "job_last_success_timestamp_seconds",
                                                              "job_overdue"};
  return std::ranges::find(kNames, name) != kNames.end() || name.starts_with("scrape_") ||
         name.starts_with("vitalsd_");
}

std::string exported_name(std::string_view name) {
  return (is_reserved_name(name) ? "exported_" : "") + std::string(name);
}

}  // namespace vitalsd

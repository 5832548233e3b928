// `vitalsd completion SHELL`: a script that completes commands, options and their values. It is
// made from the declarations that also make --help.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace vitalsd {

/// The shells for which completion_script() writes a script.
inline constexpr std::string_view kBash = "bash";
inline constexpr std::string_view kFish = "fish";
inline constexpr std::string_view kZsh = "zsh";

/// `kinds` are the values of options of type KIND.
std::string completion_script(const CLI::App& cli, std::string_view shell,
                              const std::vector<std::string_view>& kinds);

}  // namespace vitalsd

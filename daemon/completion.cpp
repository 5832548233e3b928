#include "daemon/completion.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

namespace vitalsd {
namespace {

struct Argument {
  std::vector<std::string> names;  // "--config", "-c"; none: positional
  std::string help;
  bool takes_value = false;
  bool is_file = false;
  std::vector<std::string> values;  // all that are valid, if they are known
};

struct Command {
  std::string path;  // "vitalsd config check"
  std::string help;
  std::vector<Argument> arguments;

  [[nodiscard]] std::string name() const { return path.substr(path.rfind(' ') + 1); }
};

std::vector<std::string> names_of_subcommands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* each :
       app.get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); })) {
    names.push_back(each->get_name());
  }
  return names;
}

// The names in "FORMAT:{json,text}", the type of an option with CLI::IsMember.
std::vector<std::string> members_of(const std::string& type) {
  std::vector<std::string> members;
  const std::size_t open = type.find('{');
  const std::size_t close = type.find('}', std::min(open, type.size()));
  if (close == std::string::npos) return members;
  for (std::size_t at = open + 1; at < close;) {
    const std::size_t end = std::min(type.find(',', at), close);
    members.push_back(type.substr(at, end - at));
    at = end + 1;
  }
  return members;
}

Argument to_argument(const CLI::Option& option, const std::vector<std::string>& commands,
                     const std::vector<std::string_view>& kinds) {
  Argument argument;
  for (const std::string& name : option.get_lnames()) argument.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) argument.names.push_back("-" + name);
  argument.help = option.get_description();
  argument.takes_value = option.get_items_expected_max() > 0;
  const std::string type = option.get_type_name();
  argument.is_file = type == "FILE" || type == "PATH";
  argument.values = members_of(type);
  if (type == "KIND") argument.values.assign(kinds.begin(), kinds.end());
  if (option.get_name() == "COMMAND") argument.values = commands;
  return argument;
}

void collect(const CLI::App& app, const std::string& parent, const std::vector<std::string>& top,
             const std::vector<std::string_view>& kinds, std::vector<Command>& out) {
  Command command{parent + app.get_name(), app.get_description(), {}};
  for (const CLI::Option* option : app.get_options()) {
    command.arguments.push_back(to_argument(*option, top, kinds));
  }
  const std::string prefix = command.path + ' ';
  out.push_back(std::move(command));
  for (const std::string& name : names_of_subcommands(app)) {
    collect(*app.get_subcommand(name), prefix, top, kinds, out);
  }
}

std::string joined(const std::vector<std::string>& words, std::string_view separator = " ") {
  return fmt::format("{}", fmt::join(words, separator));
}

// In single quotes, for all three shells. None of the texts has a backslash.
std::string quoted(std::string_view text, std::string_view apostrophe) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += apostrophe;
    } else {
      out += c;
    }
  }
  return out + '\'';
}

// "vitalsd check" and "vitalsd config", the arms of a `case` that follows the commands of a line.
std::vector<std::string> paths_of_subcommands(const std::vector<Command>& commands) {
  std::vector<std::string> paths;
  for (const Command& command : commands) {
    if (command.path.contains(' ')) paths.push_back('\'' + command.path + '\'');
  }
  return paths;
}

// 'vitalsd check --config'|'vitalsd check -c': what precedes the value of the option.
std::string before_value(const Command& command, const Argument& argument) {
  std::vector<std::string> patterns;
  for (const std::string& name : argument.names) {
    patterns.push_back('\'' + command.path + ' ' + name + '\'');
  }
  return joined(patterns, "|");
}

// The words that can follow a command, and whether they can be a file.
struct Words {
  std::vector<std::pair<std::string, std::string>> words;  // with their help
  bool files = false;
};

Words words_after(const Command& command, const std::vector<Command>& commands) {
  Words out;
  for (const Command& each : commands) {
    if (each.path == command.path + ' ' + each.name())
      out.words.emplace_back(each.name(), each.help);
  }
  for (const Argument& argument : command.arguments) {
    for (const std::string& name : argument.names) out.words.emplace_back(name, argument.help);
    if (!argument.names.empty()) continue;
    for (const std::string& value : argument.values) out.words.emplace_back(value, argument.help);
    out.files = out.files || argument.is_file;
  }
  return out;
}

std::string bash(const std::vector<Command>& commands) {
  std::string values;
  std::string words;
  for (const Command& command : commands) {
    for (const Argument& argument : command.arguments) {
      if (argument.names.empty() || !argument.takes_value) continue;
      values += fmt::format("    {}) words='{}' files={} ;;\n", before_value(command, argument),
                            joined(argument.values), argument.is_file ? "yes" : "");
    }
    const Words after = words_after(command, commands);
    std::vector<std::string> names;
    for (const auto& [name, help] : after.words) names.push_back(name);
    words += fmt::format("        '{}') words='{}' files={} ;;\n", command.path, joined(names),
                         after.files ? "yes" : "");
  }
  return fmt::format(R"(# bash completion for vitalsd, printed by `vitalsd completion bash`.
_vitalsd() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
  local command=vitalsd words='' files='' i
  # bash divides --format=json into three words.
  if [[ $word == '=' ]]; then
    word=''
  elif [[ $previous == '=' ]]; then
    previous=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$command ${{COMP_WORDS[i]}}" in
      {}) command+=" ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$command $previous" in
{}    *)
      case $command in
{}      esac
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    local -a found
    mapfile -t found < <(compgen -f -- "$word")
    COMPREPLY+=("${{found[@]}}")
  fi
}}
complete -F _vitalsd vitalsd
)",
                     joined(paths_of_subcommands(commands), "|"), values, words);
}

std::string zsh(const std::vector<Command>& commands) {
  constexpr std::string_view kApostrophe = "'\\''";
  std::string values;
  std::string words;
  for (const Command& command : commands) {
    for (const Argument& argument : command.arguments) {
      if (argument.names.empty() || !argument.takes_value) continue;
      std::string action = ":";
      if (argument.is_file) action = "_files";
      if (!argument.values.empty()) action = "compadd -- " + joined(argument.values);
      values += fmt::format("    ({}) {}; return ;;\n", before_value(command, argument), action);
    }
    const Words after = words_after(command, commands);
    words += fmt::format("    '{}')\n      words_of_command=(\n", command.path);
    for (const auto& [name, help] : after.words) {
      words += "        " + quoted(name + ':' + help, kApostrophe) + '\n';
    }
    words += fmt::format("      )\n{}      ;;\n", after.files ? "      _files\n" : "");
  }
  return fmt::format(R"(#compdef vitalsd
# zsh completion for vitalsd, printed by `vitalsd completion zsh`.
_vitalsd() {{
  local command=vitalsd i
  local -a words_of_command
  for ((i = 2; i < CURRENT; i++)); do
    case "$command $words[i]" in
      ({}) command+=" $words[i]" ;;
    esac
  done
  case "$command $words[CURRENT-1]" in
{}  esac
  case $command in
{}  esac
  _describe vitalsd words_of_command
}}
if [[ $funcstack[1] == _vitalsd ]]; then
  _vitalsd "$@"
else
  compdef _vitalsd vitalsd
fi
)",
                     joined(paths_of_subcommands(commands), "|"), values, words);
}

std::string fish(const std::vector<Command>& commands) {
  constexpr std::string_view kApostrophe = "\\'";
  std::string rules;
  for (const Command& command : commands) {
    const std::string rule =
        fmt::format("complete -c vitalsd -n \"__vitalsd_at '{}'\"", command.path);
    if (command.path.contains(' ')) {
      const std::string parent = command.path.substr(0, command.path.rfind(' '));
      rules += fmt::format("complete -c vitalsd -n \"__vitalsd_at '{}'\" -a {} -d {}\n", parent,
                           command.name(), quoted(command.help, kApostrophe));
    }
    for (const Argument& argument : command.arguments) {
      std::string line = rule;
      for (const std::string& name : argument.names) {
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (argument.is_file) line += argument.names.empty() ? " -F" : " -r -F";
      if (!argument.values.empty()) line += " -a '" + joined(argument.values) + '\'';
      if (!argument.names.empty() && argument.takes_value && !argument.is_file) line += " -x";
      if (argument.names.empty() && !argument.is_file && argument.values.empty()) continue;
      rules += line + " -d " + quoted(argument.help, kApostrophe) + '\n';
    }
  }
  return fmt::format(R"(# fish completion for vitalsd, printed by `vitalsd completion fish`.
function __vitalsd_at
    set -l command vitalsd
    for word in (commandline -opc)[2..-1]
        switch "$command $word"
            case {}
                set command "$command $word"
        end
    end
    test "$command" = "$argv[1]"
end
complete -c vitalsd -f
{})",
                     joined(paths_of_subcommands(commands)), rules);
}

}  // namespace

std::string completion_script(const CLI::App& cli, std::string_view shell,
                              const std::vector<std::string_view>& kinds) {
  std::vector<Command> commands;
  collect(cli, "", names_of_subcommands(cli), kinds, commands);
  if (shell == kBash) return bash(commands);
  return shell == kZsh ? zsh(commands) : fish(commands);
}

}  // namespace vitalsd

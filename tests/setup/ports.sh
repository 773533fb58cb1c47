# Sourced by scripts that start servers. Says which TCP ports are taken, with nothing but /proc.

port_is_busy() { # PORT
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf '%04X' "$1")" \
            '{ split($2, local, ":") } local[2] == port && $4 == "0A" { busy = 1 } END { exit !busy }'
}

refuse_busy_ports() { # WHO PORT... : one clear line, and the end
    who=$1
    shift
    for each; do
        if port_is_busy "$each"; then
            echo "$who: port $each is in use; choose another one with PORT=" >&2
            exit 1
        fi
    done
}

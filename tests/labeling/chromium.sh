#!/bin/sh
# $CHROMIUM, without what it prepares in each new window for whoever types an address: that costs as much processor time
# as all else a short test does. Chromium heeds the last of several --disable-features, and Playwright has one of its own.
for argument; do
  shift
  case $argument in
    --disable-features=*) argument="$argument,WebUIOmniboxPopup,WebUIOmniboxAimPopup" ;;
  esac
  set -- "$@" "$argument"
done
exec "$CHROMIUM" "$@"

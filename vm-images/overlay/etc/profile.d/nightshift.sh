# Login shells that did not come through PAM know the desktop too.
set -a
. /etc/environment
set +a

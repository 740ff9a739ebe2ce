"""The callbacks that OpenIM reports only if they are enabled."""

# What is counted: the family, the setting in webhooks.yml that reports it, and its commands in all versions of OpenIM.
SINGLE = ("openim_single_messages_total", "afterSendSingleMsg", "callbackAfterSendSingleMsgCommand|callbackAfterMsgSaveDBCommand")
ONLINE = ("openim_users_online", "afterUserOnline", "callbackAfterUserOnlineCommand|callbackUserOnlineCommand")


def if_reported(expression, counted):
    """The expression, if a callback that reports it has been received. Also while the exporter is down."""
    return f'{expression} and on () (sum(last_over_time(openim_exporter_callbacks_total{{$S, command=~"{counted[2]}"}}[1d])) > 0)'


def how(*counted):
    """What to do if a panel is empty."""
    settings = [setting for _, setting, _ in counted]
    if len(settings) == 1:
        return f"Nothing reported yet: enable {settings[0]} in OpenIM's webhooks.yml, unless it is already"
    return f"Nothing reported yet. Each line needs its setting in OpenIM's webhooks.yml: {', '.join(settings)}"

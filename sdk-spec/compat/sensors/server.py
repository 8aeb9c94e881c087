"""Reports with the published Sensors SDK for Python servers.

usage: python3 server.py SERVER_URL default|batch

`default` sends each event by itself; `batch` keeps all and sends them once a
line comes in. After each try a line goes out: "sent", or the error's type.
"""

import sys

import sensorsanalytics as sensors

server_url, mode = sys.argv[1:]
consumer = sensors.DefaultConsumer(server_url) if mode == "default" else sensors.BatchConsumer(server_url)
sdk = sensors.SensorsAnalytics(consumer)


def tried(send):
    try:
        send()
        return "sent"
    except Exception as error:  # any kind: which it is, is what is asked
        return type(error).__name__


login = sensors.SensorsAnalyticsIdentity(sensors.SensorsAnalyticsIdentity.LOGIN_ID, "user-42")
mobile = sensors.SensorsAnalyticsIdentity(sensors.SensorsAnalyticsIdentity.MOBILE, "none")
CALLS = [
    lambda: sdk.track("device-7", "view_item", {"sku": "100012043978"}),
    lambda: sdk.track_signup("user-42", "device-7"),
    lambda: sdk.track("user-42", "order", {"amount": 99, "tags": ["a", "中文"]}, is_login_id=True),
    lambda: sdk.profile_set("user-42", {"level": "gold"}, is_login_id=True),
    lambda: sdk.bind(login, mobile),
    lambda: sdk.profile_increment("user-42", {"orders": 1}, is_login_id=True),
    lambda: sdk.item_set("sku", "100012043978", {"price": 12.5}),
]

if mode == "default":
    for call in CALLS:
        print(tried(call), flush=True)
else:
    for call in CALLS:
        call()
    for _ in sys.stdin:
        print(tried(sdk.flush), flush=True)

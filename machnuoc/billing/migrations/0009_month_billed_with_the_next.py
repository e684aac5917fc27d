"""A connection may be left out of a run because its water is in the bill of a later month. No table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_remote_meters")]

    operations = [
        migrations.AlterField(
            model_name="runskip",
            name="reason",
            field=models.CharField(
                choices=[
                    ("NO_READING", "Chưa có chỉ số của kỳ"),
                    ("NO_START", "Chưa có chỉ số đầu kỳ"),
                    ("SUSPECT", "Chỉ số đang chờ xem lại"),
                    ("NO_TARIFF", "Chưa có biểu giá áp dụng"),
                    ("NO_PERSONS", "Giá theo nhân khẩu nhưng chưa có số người"),
                    ("BAD_SHARES", "Tỷ lệ mục đích sử dụng không đủ 100 %"),
                    ("NEGATIVE", "Chỉ số lùi chưa có giải thích"),
                    ("COVERED", "Lượng nước đã có trong hóa đơn kỳ sau"),
                ],
                max_length=10,
                verbose_name="lý do",
            ),
        ),
    ]
